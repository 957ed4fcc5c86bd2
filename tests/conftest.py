"""What all tests share. TensorFlow and TFX take most of a minute to import: only tests that need them may pay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import finetune  # noqa: F401  (chooses Keras 2 before any test imports TensorFlow)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real weights and pictures; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("FINETUNE_REAL_DATA", ROOT / ".." / "shared" / "real")).resolve()
    if not (path / "weights").is_dir():
        pytest.skip(f"no real data at {path}; set FINETUNE_REAL_DATA")
    return path

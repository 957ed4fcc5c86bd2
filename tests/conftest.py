"""What all tests share. TensorFlow and TFX take most of a minute to import: only tests that need them may pay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Imported first of all: it chooses Keras 2 before any test imports TensorFlow.
from finetune.events import Event, subscribe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real weights and pictures; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("FINETUNE_REAL_DATA", ROOT / ".." / "shared" / "real")).resolve()
    if not (path / "weights").is_dir():
        pytest.skip(f"no real data at {path}; set FINETUNE_REAL_DATA")
    return path


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """Every event that is emitted while the test runs."""
    events: list[Event] = []
    with subscribe(events.append):
        yield events

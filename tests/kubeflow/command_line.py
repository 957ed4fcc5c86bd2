"""Runs the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# How often long tests replay a package again, which takes minutes each time.
REPLAYS = int(os.environ.get("FINETUNE_REPLAYS", "3"))


def finetune(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `finetune` with these arguments in a process of its own, and returns it ended, with what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "finetune_cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )

"""The picture in docs/architecture.md shows the code as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_picture_is_the_one_that_the_code_gives():
    command = [sys.executable, ROOT / "scripts" / "draw_architecture.py"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert drawn == (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8"), "run `make docs`"

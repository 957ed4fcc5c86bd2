"""Rows of equal size that a phase reads in random order, in memory or in a file. Plain Python."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np


class Rows:
    """Rows are what a network gives for each example up to a cut.

    Attributes:
        values: uint8 [count, row_bytes], at an address that TensorFlow can use as it is; None where they are in a file.
        path: Of that file, one row after the other. It has no name and goes with the process, killed or not.
    """

    def __init__(self, count: int, row_bytes: int, folder: Path | None = None):
        """Makes room for all rows, in memory or in a file within `folder`.

        Raises:
            OSError: There is no room on the disk, or the folder cannot be written to.
        """
        self.count, self.row_bytes = count, row_bytes
        self.values: np.ndarray | None = None
        self.path = ""
        size = count * row_bytes
        if folder is None:
            memory = np.empty(size + 64, np.uint8)
            start = -memory.ctypes.data % 64
            self.values = memory[start : start + size].reshape(count, row_bytes)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self._file, name = tempfile.mkstemp(dir=folder)
            os.unlink(name)
            weakref.finalize(self, os.close, self._file)
            os.posix_fallocate(self._file, 0, size)
            self.path = f"/proc/self/fd/{self._file}"

    def put(self, number: int, row: bytes) -> None:
        """Writes a row."""
        if self.values is not None:
            self.values[number] = np.frombuffer(row, np.uint8)
        else:
            os.pwrite(self._file, row, number * self.row_bytes)


def missing_rows(count: int, get: Callable[[int], bytes | None], row_bytes: int, into: Rows | None) -> np.ndarray:
    """Reads rows that an earlier run has kept.

    Args:
        count: Of all rows.
        get: Says what is kept of a row; None where nothing is.
        into: Where rows go that are there; None where nobody reads them now.

    Returns:
        Those that are not there, bool [count].
    """
    missing = np.zeros(count, bool)
    for number in range(count):
        row = get(number)
        if row is None or len(row) != row_bytes:
            missing[number] = True
        elif into:
            into.put(number, row)
    return missing


def left_behind(root: Path) -> tuple[Path, int] | None:
    """Returns the folder beside `root` in which earlier versions kept theirs, and its bytes; None without one."""
    folder = root.parent / "trunk"
    if not folder.is_dir():
        return None
    return folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

"""Rows of equal size in files that are whole or rejected. Plain Python.

A shard is a header with a digest, and the rows that it is the digest of. It is written under another name and renamed,
so that runs which write the same shards at the same time leave one whole shard behind, whoever is last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finetune.files import replacing, write_text

HEADER_BYTES = 64
# A shard is held in memory while it is written, one for each cut.
SHARD_BYTES = 16 * 1024**2
# Rows are computed in batches of this size, which never cross the end of a shard: what a shard holds does not depend on
# which others were there already.
FILL_BATCH = 32

_FACTS = "facts.json"
_DAY = 24 * 3600


class Shards:
    """Shards hold the rows that are kept of one split at one cut."""

    def __init__(self, root: Path, facts: Mapping[str, Any], rows: int, row_bytes: int):
        """Names the folder after all facts that the rows depend on; nothing is read or written yet."""
        text = json.dumps(facts, sort_keys=True, indent=1)
        self._facts = text
        self.folder = Path(root) / hashlib.sha256(text.encode()).hexdigest()[:32]
        self.rows = rows
        self.row_bytes = row_bytes
        self.rows_per_shard = max(1, SHARD_BYTES // (row_bytes * FILL_BATCH)) * FILL_BATCH
        self.count = -(-rows // self.rows_per_shard)

    @property
    def files(self) -> list[str]:
        """Lists the paths of all shards, in order."""
        return [str(self._path(number)) for number in range(self.count)]

    def rows_of(self, number: int) -> range:
        """Returns the rows that a shard holds."""
        start = number * self.rows_per_shard
        return range(start, min(start + self.rows_per_shard, self.rows))

    def load(self, into: np.ndarray | None = None) -> tuple[list[int], list[int]]:
        """Reads all shards, and fills uint8 [rows, row_bytes] with the rows of whole ones where asked.

        Returns:
            Numbers of the shards that are missing, and of those that are damaged.
        """
        missing, damaged = [], []
        for number in range(self.count):
            try:
                content = self._path(number).read_bytes()
            except FileNotFoundError:
                missing.append(number)
                continue
            rows = self.rows_of(number)
            payload = memoryview(content)[HEADER_BYTES:]
            if len(payload) != len(rows) * self.row_bytes or content[:HEADER_BYTES] != _digest(payload):
                damaged.append(number)
            elif into is not None:
                into[rows.start : rows.stop] = np.frombuffer(payload, np.uint8).reshape(len(rows), self.row_bytes)
        if not missing:
            os.utime(self.folder)
        return missing, damaged

    def write(self, number: int, rows: bytes) -> None:
        """Writes a shard.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / _FACTS).exists():
            write_text(self.folder / _FACTS, self._facts, sync=True)
        with replacing(self._path(number), sync=True) as unfinished, unfinished.open("wb") as file:
            file.write(_digest(rows))
            file.write(rows)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.rows"


@dataclass
class Gaps:
    """Gaps are the shards of one cut that have to be written."""

    shards: Shards
    numbers: frozenset[int]  # Numbers of those to be written.
    _open: list[np.ndarray] = field(default_factory=list)
    _held: int = 0

    @property
    def size(self) -> int:
        """Counts the bytes that have to be written."""
        return int(self.rows().sum()) * self.shards.row_bytes

    def rows(self) -> np.ndarray:
        """Returns which rows are to be computed, bool [rows]."""
        wanted = np.zeros(self.shards.rows, bool)
        for number in self.numbers:
            rows = self.shards.rows_of(number)
            wanted[rows.start : rows.stop] = True
        return wanted

    def take(self, first_row: int, rows: np.ndarray) -> None:
        """Takes rows that follow each other and belong to one shard, and writes the shard when it is complete."""
        number = first_row // self.shards.rows_per_shard
        if number not in self.numbers:
            return
        self._open.append(rows)
        self._held += len(rows)
        if self._held == len(self.shards.rows_of(number)):
            self.shards.write(number, b"".join(np.ascontiguousarray(part).tobytes() for part in self._open))
            self._open, self._held = [], 0


@dataclass(frozen=True)
class Store:
    """A store is the folder of everything that is kept for a pipeline, within a budget."""

    root: Path  # The folder; each set of shards has a folder of its own in it.
    budget: float  # Bytes that all together may take.

    def left_behind(self) -> tuple[Path, int] | None:
        """Returns the folder beside this one in which earlier versions kept theirs, and its bytes; None without one."""
        folder = self.root.parent / "trunk"
        if not folder.is_dir():
            return None
        return folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def make_room(self, needed: int, keep: set[Path]) -> None:
        """Removes what was not used for longest, until the bytes needed fit the budget beside the rest.

        What was used within a day stays, as another run may be reading it; so do the folders to keep.
        """
        folders = [path for path in self.root.glob("*") if path.is_dir()]
        sizes = {path: sum(file.stat().st_size for file in path.glob("*")) for path in folders}
        total = sum(size for path, size in sizes.items() if path not in keep) + needed
        for path in sorted(set(folders) - keep, key=lambda path: path.stat().st_mtime):
            if total <= self.budget or time.time() - path.stat().st_mtime < _DAY:
                return
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]


def _digest(payload: bytes | memoryview) -> bytes:
    return hashlib.blake2b(payload, digest_size=HEADER_BYTES // 2).hexdigest().encode()

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
from dataclasses import dataclass
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
        """Names the folder; nothing is read or written yet.

        Args:
            root: Folder of the store.
            facts: All that the rows depend on.
            rows: How many there are.
            row_bytes: Size of each.
        """
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
        """Reads all shards, and into memory where asked.

        Args:
            into: uint8 [rows, row_bytes], filled with the rows of whole shards; None only checks them.

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


@dataclass(frozen=True)
class Store:
    """A store is the folder of everything that is kept for a pipeline, within a budget.

    Attributes:
        root: The folder; each set of shards has a folder of its own in it.
        budget: Bytes that all together may take.
    """

    root: Path
    budget: float

    def shards(self, facts: Mapping[str, Any], rows: int, row_bytes: int) -> Shards:
        """Returns the shards that depend on these facts; see `Shards`."""
        return Shards(self.root, facts, rows, row_bytes)

    def left_behind(self) -> tuple[Path, int] | None:
        """Returns the folder beside this one in which earlier versions kept theirs, and its bytes; None without one."""
        folder = self.root.parent / "trunk"
        if not folder.is_dir():
            return None
        return folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def make_room(self, needed: int, keep: set[Path]) -> None:
        """Removes what was not used for longest, until what is needed fits the budget beside the rest.

        What was used within a day stays, as another run may be reading it.

        Args:
            needed: Bytes to be written.
            keep: Folders that must stay.
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

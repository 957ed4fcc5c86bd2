"""What is known of single examples, kept from run to run: verdicts, transformed examples, features.

    cache = ExampleCache(Path("runs/flowers/example_cache"), made_by=digest_of_code_and_settings, max_bytes=10 * 2**30)
    value = cache.get(digest_of_the_bytes)
    if value is None:
        value = ...
        cache.put(digest_of_the_bytes, value)
    cache.flush()

An entry can be gone at any time, as another run makes room or a byte of it has changed: `get` then gives None, and
whoever asked makes the value anew. Nothing that is the matter with the folder makes a call raise.

Each value of `made_by` has a folder of segments. A segment is whole when its name appears, and never changes:

    records  of each: checksum [16 bytes], identity of its key [32], value
    index    of each record: the first 8 bytes of its identity, its offset, the length of its value; uint64 [records, 3]
    end      number of records, uint64; _END

The checksum covers identity, value and `made_by`. So any number of processes, on any number of machines that share the
folder, read and write at once without locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finetune.files import replacing

# Values wait in memory for a segment of this size, and are lost with the process until then.
SEGMENT_BYTES = 64 * 2**20
# More segments than this that are not half full are merged.
MAX_SMALL_SEGMENTS = 8

_SUFFIX = ".segment"
_INDEX = np.dtype([("start", "<u8"), ("offset", "<u8"), ("length", "<u8")])
_COUNT = struct.Struct("<Q")
_END = b"whole segment 1\n"
_CHECKSUM_BYTES, _IDENTITY_BYTES = 16, 32
_HEADER_BYTES = _CHECKSUM_BYTES + _IDENTITY_BYTES
_MAX_OPEN_FILES = 64
_DAY = 24 * 3600
# The clock of a file system may be this late, in seconds.
_LATE = 1.0

_log = logging.getLogger(__name__)


class ExampleCache:
    """What one thing made of examples. Threads may share a cache; each process opens its own.

    Attributes:
        damaged: Number of times that `get` found only a damaged entry.
    """

    def __init__(self, root: Path, made_by: str, max_bytes: float):
        """Reads the index, 28 bytes an entry; values stay on disk.

        Args:
            root: The folder of all that is kept, whatever made it; there need be none yet.
            made_by: What values depend on besides their keys, such as a digest of code and settings.
            max_bytes: What `root` may hold. What was not used for longest makes room; what then does not fit beside
                that which was used since now is not kept.
        """
        self._root, self._max_bytes = Path(root), max_bytes
        self._made_by = hashlib.blake2b(made_by.encode(), digest_size=32).digest()
        self._folder = self._root / self._made_by.hex()[:32]
        self._lock = threading.Lock()
        self._opened = time.time() - _LATE
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_bytes = 0
        self._files: dict[Path, int] = {}
        self._used: set[Path] = set()
        self._segments: list[Path] = []
        self._index, self._owners = np.zeros(0, _INDEX), np.zeros(0, np.uint32)
        self.damaged = 0
        self._add(sorted(self._folder.glob(f"*{_SUFFIX}")))

    def get(self, key: bytes) -> bytes | None:
        """Returns what was put under a key, here or before this cache was opened; None where that is not to be had."""
        identity = _identity(key)
        with self._lock:
            if identity in self._waiting:
                return self._waiting[identity]
            start = np.frombuffer(identity, "<u8", 1)[0]
            first, last = (np.searchsorted(self._index["start"], start, side) for side in ("left", "right"))
            records = [self._read(row) for row in range(first, last)]
            value = next((record[_HEADER_BYTES:] for record in records if self._is_whole(record, identity)), None)
            self.damaged += first < last and value is None
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keeps the one value that a key has, each of any length. Written when enough wait, or by `flush`."""
        identity = _identity(key)
        with self._lock:
            self._waiting[identity] = value
            self._waiting_bytes += len(value) + _HEADER_BYTES
            if self._waiting_bytes >= SEGMENT_BYTES:
                self._write_waiting()

    def flush(self) -> None:
        """Writes what waits. A process that may be killed calls this when it has done its share."""
        with self._lock:
            self._write_waiting()

    def close(self) -> None:
        """Writes what waits, and closes all files. The cache can be used again."""
        with self._lock:
            self._write_waiting()
            self._close_files()

    def tidy(self) -> None:
        """Merges small segments, and removes what does not fit, is damaged, or was left behind by killed processes.

        For one process, once a run, when the others are done.
        """
        with self._lock:
            self._write_waiting()
            for changed, _, path in _files(self._root, f"*/.*{_SUFFIX}.*"):
                if time.time() - changed > _DAY:
                    path.unlink(missing_ok=True)
            self._merge()
            self._make_room(0, used_before=float("inf"))

    def _add(self, paths: list[Path]) -> None:
        parts = [_read_index(path) for path in paths]
        owners = [np.full(len(part), len(self._segments) + n, np.uint32) for n, part in enumerate(parts)]
        self._segments += paths
        index, owner = np.concatenate([self._index, *parts]), np.concatenate([self._owners, *owners])
        order = np.argsort(index["start"], kind="stable")
        self._index, self._owners = index[order], owner[order]

    def _read(self, row: int) -> bytes:
        """Returns a record with its header; less where it is not to be had."""
        path, (_, offset, length) = self._segments[self._owners[row]], self._index[row].tolist()
        try:
            if path not in self._files:
                if len(self._files) >= _MAX_OPEN_FILES:
                    self._close_files()
                self._files[path] = os.open(path, os.O_RDONLY)
            if path not in self._used:
                self._used.add(path)
                with contextlib.suppress(PermissionError):  # A folder of someone else is read all the same.
                    os.utime(path)
            return os.pread(self._files[path], _HEADER_BYTES + length, offset)
        except OSError:  # Such as a segment that another run has removed.
            return b""

    def _is_whole(self, record: bytes, identity: bytes) -> bool:
        checksum, found = record[:_CHECKSUM_BYTES], record[_CHECKSUM_BYTES:_HEADER_BYTES]
        return found == identity and checksum == self._checksum(identity, memoryview(record)[_HEADER_BYTES:])

    def _checksum(self, identity: bytes, value: bytes | memoryview) -> bytes:
        digest = hashlib.blake2b(identity, digest_size=_CHECKSUM_BYTES, key=self._made_by)
        digest.update(value)
        return digest.digest()

    def _write_waiting(self) -> None:
        values, needed = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = {}, 0
        if values and self._make_room(needed, self._opened):
            self._write(values)

    def _write(self, values: Mapping[bytes, bytes]) -> bool:
        """Writes a segment; tells whether that succeeded."""
        path, offset = self._folder / f"{uuid.uuid4().hex}{_SUFFIX}", 0
        rows = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished, unfinished.open("wb") as file:
                for identity, value in values.items():
                    rows.append((int.from_bytes(identity[:8], "little"), offset, len(value)))
                    file.write(self._checksum(identity, value) + identity)
                    file.write(value)
                    offset += _HEADER_BYTES + len(value)
                file.write(np.array(rows, _INDEX).tobytes() + _COUNT.pack(len(rows)) + _END)
        except OSError as error:
            _log.warning("%s: %d examples are not kept for the next run: %s", self._folder, len(values), error)
            return False
        self._add([path])
        return True

    def _make_room(self, needed: int, used_before: float) -> bool:
        """Removes what was used before a time, the oldest first, until the bytes needed fit; tells whether they do."""
        found = _files(self._root, f"*/*{_SUFFIX}")
        excess = sum(size for _, size, _ in found) + needed - self._max_bytes
        for used, size, path in found:
            if excess <= 0 or used >= used_before:
                break
            path.unlink(missing_ok=True)
            excess -= size
        return excess <= 0

    def _merge(self) -> None:
        small = [(size, path) for _, size, path in _files(self._folder, f"*{_SUFFIX}") if size < SEGMENT_BYTES // 2]
        if len(small) <= MAX_SMALL_SEGMENTS:
            return
        merged: list[Path] = []
        values: dict[bytes, bytes] = {}
        room = SEGMENT_BYTES
        for size, path in small:
            merged.append(path)
            values.update(self._whole_records(path))
            room -= size
            if room < SEGMENT_BYTES // 2 or path == small[-1][1]:
                if values and not self._write(values):
                    return
                for each in merged:
                    each.unlink(missing_ok=True)
                merged, values, room = [], {}, SEGMENT_BYTES

    def _whole_records(self, path: Path) -> Iterator[tuple[bytes, bytes]]:
        """Yields identity and value of the records of a segment that are whole."""
        with contextlib.suppress(OSError), path.open("rb") as file:
            for _, offset, length in _read_index(path).tolist():
                record = os.pread(file.fileno(), _HEADER_BYTES + length, offset)
                identity = record[_CHECKSUM_BYTES:_HEADER_BYTES]
                if self._is_whole(record, identity):
                    yield identity, record[_HEADER_BYTES:]

    def _close_files(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()


def _identity(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=_IDENTITY_BYTES).digest()


def _files(folder: Path, pattern: str) -> list[tuple[float, int, Path]]:
    """Lists time of last use, size and path of files, the oldest first."""
    found = []
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):  # Another run may just have removed it.
            info = path.stat()
            found.append((info.st_mtime, info.st_size, path))
    return sorted(found)


def _read_index(path: Path) -> np.ndarray[Any, np.dtype[np.void]]:
    """Returns what lies in a segment, [records] of _INDEX; nothing where it is not whole."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at_end = os.pread(file.fileno(), _COUNT.size + len(_END), max(0, size - _COUNT.size - len(_END)))
        if at_end[_COUNT.size :] == _END:
            length = _COUNT.unpack_from(at_end)[0] * _INDEX.itemsize
            records = size - len(at_end) - length
            if records >= 0:
                index = np.frombuffer(os.pread(file.fileno(), length, records), _INDEX)
                # What a damaged index says of places outside of the records is not read.
                return np.compress((index["offset"] < records) & (index["length"] <= records), index)
    return np.zeros(0, _INDEX)

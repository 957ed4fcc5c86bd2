"""What a server is to have, on the disk until it has it: lost neither with the server nor with this process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from finetune.files import replacing
from trainer_module.tracking.entries import ENTRIES, Entry, RunBegins, RunEnds

# What a server did not take for so long is dropped.
KEPT_SECONDS = 30 * 24 * 3600


class Journal:
    """A journal is a file of entries, one a line; whoever writes or delivers it holds its lock.

    Attributes:
        entries: All that it holds.
    """

    def __init__(self, path: Path):
        """Opens a journal, or makes a new one.

        Raises:
            BlockingIOError: Somebody else has it.
            OSError: It can be neither read nor written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.is_file() or path.stat().st_ino != os.fstat(self._file.fileno()).st_ino:
                raise BlockingIOError(f"{path}: somebody has delivered it meanwhile")
        except OSError:
            self._file.close()
            raise
        self._file.seek(0)
        content = self._file.read()
        # A process that is killed leaves half a line.
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        self.entries: list[Entry] = list(_read(whole))

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._path.parent

    @property
    def begins(self) -> list[RunBegins]:
        """The entries that say which runs it is of."""
        return [entry for entry in self.entries if isinstance(entry, RunBegins)]

    @property
    def goes_on(self) -> bool:
        """Whether a training may go on with it, since no entry says that it succeeded."""
        own = {entry.run for entry in self.begins if not entry.parent}
        ended = {entry.run for entry in self.entries if isinstance(entry, RunEnds) and entry.succeeded}
        return bool(own - ended)

    def add(self, entry: Entry) -> None:
        """Adds an entry.

        Raises:
            OSError: The disk does not take it; it is kept in memory.
        """
        self.entries.append(entry)
        line, end = _line(entry), self._file.seek(0, os.SEEK_END)
        if self._file.write(line) != len(line):
            self._file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def delivered(self) -> None:
        """Removes what a server has: the whole file, or all but the beginnings of a training that may go on."""
        if self._path.is_file() and self.goes_on:
            with replacing(self._path) as unfinished:
                unfinished.write_bytes(b"".join(map(_line, self.begins)))
        else:
            self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Lets others have it."""
        self._file.close()


def journals_of(folder: Path, uri: str, experiment: str) -> Path:
    """Returns where the journals for one experiment on a server lie, in a folder for those of all."""
    return folder / hashlib.sha256(f"{uri}\0{experiment}".encode()).hexdigest()[:16]


def journal_of(folder: Path, key: str) -> Journal:
    """Opens the journal of the training with this fingerprint that goes on, or a new one.

    Raises:
        OSError: The disk takes none.
    """
    for path in sorted(folder.glob(f"*-{key[:16]}.jsonl"), reverse=True):
        try:
            found = Journal(path)
        except OSError:
            continue
        if found.goes_on:
            return found
        found.release()
    return new_journal(folder, key)


def new_journal(folder: Path, name: str) -> Journal:
    """Makes a new journal; their names are in the order of time."""
    return Journal(folder / f"{time.time_ns():020d}-{name[:16]}.jsonl")


def waiting(folder: Path) -> Iterator[Journal]:
    """Yields the journals that nobody holds and that have something to deliver, the oldest first."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
                continue
            found = Journal(path)
        except OSError:
            continue  # Somebody delivers it, or has done so.
        try:
            if len(found.entries) > len(found.begins):
                yield found
            elif not found.entries:
                found.delivered()
        finally:
            found.release()


def _line(entry: Entry) -> bytes:
    return entry.model_dump_json().encode() + b"\n"


def _read(content: bytes) -> Iterator[Entry]:
    for line in content.splitlines():
        try:
            yield ENTRIES.validate_json(line)
        except ValidationError:
            continue  # Of a later version, or damaged: the others count.

"""A disk that is full, however a library says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
# Of errors without a number: TensorFlow's, Beam's and shutil's have the first two in their text, SQLite's the last.
_WORDS = (*map(os.strerror, _NUMBERS), "database or disk is full")
_UNDONE = "cannot commit - no transaction is active"
_NO_ROOM = 2**20

ADVICE = (
    "the disk is full. Make room (`finetune clean CONFIG` frees what earlier runs left there) and run the same command "
    "again: what was finished is taken from the cache."
)


def is_full(error: BaseException, database: Path | None = None) -> bool:
    """Tells whether an error, or one that it comes from, is that of a disk or a quota that has no room left.

    Args:
        error: Of any library.
        database: The SQLite file of ML Metadata. Where SQLite has undone a transaction for want of room, ML Metadata
            says only that there is none to commit; the disk itself then tells.
    """
    found = list(chain(error))
    if any(isinstance(one, OSError) and one.errno in _NUMBERS for one in found):
        return True
    texts = [str(one) for one in found]
    if any(words in text for text in texts for words in _WORDS):
        return True
    return database is not None and any(_UNDONE in text for text in texts) and _has_no_room(database.parent)


def _has_no_room(folder: Path) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _NO_ROOM


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error, the one that it comes from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

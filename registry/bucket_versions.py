"""Versions in a bucket, where no folder can be renamed or locked. Plain Python.

    1/, 2/, ...   versions, as in a folder; one counts from when its `push.json` is there, which is written last
    .claims/3     who writes version 3, or wrote it: an object that only one of several writers could create

A writer that is killed leaves files that no reader takes for a version. The file without which nothing loads a model is
the last of the model's own, so that a server which knows nothing of `push.json` does not load a half either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from finetune import buckets
from finetune.artifacts.pushed_version import PushRecord
from finetune.errors import RunError

CLAIMS = ".claims"
_LOADED_BY = "saved_model.pb"


def is_whole(version: Path) -> bool:
    """Tells whether all of a version is there: its record is, and was not cut short."""
    try:
        return bool(PushRecord.read(version).model_sha256)
    except RunError:
        return False


def publish(source: Path, directory: Path, texts: Mapping[str, str]) -> Path:
    """Copies a model to the next version, and returns its folder.

    Args:
        source: The model's folder, of this machine or in the bucket.
        directory: Folder of versions in the bucket.
        texts: Text files of ours by name, `push.json` among them; they take the place of the model's own of that name.

    Raises:
        RunError: Something could not be written; then no version has come to be.
    """
    version = directory / str(_claimed_number(directory))
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    for name in sorted(set(names) - set(texts), key=lambda name: (name == _LOADED_BY, name)):
        buckets.write(str(version / name), (source / name).read_bytes())
    for name in sorted(texts, key=lambda name: (name == PushRecord.FILE, name)):
        if name == PushRecord.FILE:
            _check_whole(source, version, set(names) - set(texts))
        buckets.write(str(version / name), texts[name].encode())
    return version


def drop(version: Path) -> None:
    """Removes a version: what makes it one first, so that no reader finds a part of it."""
    buckets.remove(str(PushRecord.path(version)))
    buckets.remove(str(version))


def _claimed_number(directory: Path) -> int:
    """A number above all that are written or were begun, which no other writer has from now on."""
    begun = [*_numbers(directory), *_numbers(directory / CLAIMS)]
    number = max(begun, default=0) + 1
    writer = f"{os.uname().nodename} {os.getpid()}\n".encode()
    while not buckets.create(str(directory / CLAIMS / str(number)), writer):
        number += 1
    return number


def _numbers(place: Path) -> list[int]:
    return [int(path.name) for path in place.iterdir() if path.name.isdecimal()] if place.is_dir() else []


def _check_whole(source: Path, version: Path, names: set[str]) -> None:
    there = {entry.name: entry.size for entry in buckets.entries(str(version))}
    wrong = sorted(name for name in names if there.get(name) != (source / name).stat().st_size)
    if wrong:
        raise RunError(
            f"{version}: {', '.join(wrong)} did not arrive as written; the version was not finished. Does another "
            "program write there? Run again."
        )

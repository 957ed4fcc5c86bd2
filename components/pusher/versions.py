"""Numbered versions in a folder, as TensorFlow Serving reads it. Plain Python."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INCOMING = ".incoming-"


def push_version(model: Path, directory: Path) -> tuple[Path, bool]:
    """Copies a model to the next version, so that a reader sees all of it or nothing.

    The copy is made beside the versions under a hidden name, synced, and renamed. If the newest version already holds
    the same bytes, nothing is copied: a push that was killed after its rename and is run again pushes once.

    Args:
        model: Folder to copy.
        directory: Folder of versions; made when absent.

    Returns:
        The version's folder, and whether it is new.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        for leftover in directory.glob(f"{_INCOMING}*"):
            shutil.rmtree(leftover)
        existing = versions(directory)
        newest = directory / str(existing[-1]) if existing else None
        if newest and folder_digest(newest) == folder_digest(model):
            return newest, False
        version = existing[-1] + 1 if existing else 1
        incoming = directory / f"{_INCOMING}{version}"
        shutil.copytree(model, incoming)
        for path in [*incoming.rglob("*"), incoming]:
            _sync(path)
        target = directory / str(version)
        incoming.rename(target)
        _sync(directory)
        return target, True


def versions(directory: Path) -> list[int]:
    """The version numbers in a folder, ascending."""
    return sorted(int(path.name) for path in directory.iterdir() if path.is_dir() and path.name.isdecimal())


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below a folder, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds the folder against other pushers; the lock goes with the process, however it ends."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

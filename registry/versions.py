"""Numbered versions in a folder, as TensorFlow Serving reads it: the highest number is served. Plain Python.

    1/, 2/, ...     versions, each a whole model with its `push.json` (who, when, why) and its model card
    .learned_from/  which examples each model learned from (`registry.learned_from`)
    champion.json   which version is served: a copy of what the highest number says, for other tools to read
    .pending/       models that wait for approval (`registry.approval`)
    .incoming-*     a copy in the making;  .outgoing-*  a version on its way out. Both are cleared by the next writer

A folder gets its number by one rename and loses it by another, so a reader never sees half a version, and a writer that
is killed at any moment leaves either the old or the new one on top. Numbers only go up, also when rolling back: a
server that has loaded number 2 would not notice another model under the same number. In a bucket, where nothing can be
renamed, `registry.bucket_versions` keeps the same promise.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from finetune.artifacts.pushed_version import ChampionPointer, ModelCard, PushRecord
from finetune.artifacts.split_digests import SplitDigests
from finetune.buckets import is_bucket
from finetune.buckets import write as write_object
from finetune.disk import is_full
from finetune.errors import RunError
from finetune.files import sync_to_disk, write_text
from registry import bucket_versions
from registry.learned_from import forget_others, note

CARD_TEXT_FILE = "model_card.md"
# What the exporter says of a model, in the folder of a SavedModel that TensorFlow leaves to others.
FACTS_FILE = "assets.extra/finetune.json"
PENDING = ".pending"
_INCOMING = ".incoming-"
_OUTGOING = ".outgoing-"
# What a push adds to a model.
_ADDED = (PushRecord.FILE, ModelCard.FILE, CARD_TEXT_FILE)


def push_version(
    model: Path,
    directory: Path,
    files: Mapping[str, str] | None = None,
    record: PushRecord | None = None,
    keep: int | None = None,
    learned_from: SplitDigests | None = None,
) -> tuple[Path, bool]:
    """Copies a model to the next version, so that a reader sees all of it or nothing.

    If the newest version already holds the same model, nothing is copied: a push that was killed after its rename and
    is run again pushes once.

    Args:
        model: Folder to copy.
        directory: Folder of versions; made when absent.
        files: Further text files of the version by name, such as the model card.
        record: What `push.json` says beside `model_sha256` and `at`.
        keep: How many versions are left afterwards, the newest ones; None for all.
        learned_from: The examples that the model learned from; None keeps no list of them.

    Returns:
        The version's folder, and whether it is new.

    Raises:
        RunError: The copy could not be written, such as on a full disk. The versions are as they were.
    """
    with writing(directory):
        digest = model_digest(model)
        if learned_from is not None:
            note(directory, digest, learned_from)
        newest = newest_version(directory)
        if newest is not None and _digest_of(newest) == digest:
            version, new = newest, False
        else:
            made = (record or PushRecord()).model_copy(update={"model_sha256": digest})
            texts = {**(files or {}), PushRecord.FILE: record_text(made)}
            version, new = _publish_copy(model, directory, texts), True
        drop(directory / PENDING / digest, directory)
        _point(directory)
        if keep is not None:
            prune(directory, keep)
        return version, new


def roll_back(directory: Path, to: int | None = None, by: str = "") -> tuple[Path, int]:
    """Publishes an earlier version again, under a number above all others.

    The files are linked where the file system can, so that it takes no space and no time. When the model is served
    already, nothing changes.

    Args:
        directory: Folder of versions.
        to: The version; None for the one before the model that is served now.
        by: Who asked for it.

    Returns:
        The folder that is served now, and the version whose model it holds.

    Raises:
        RunError: There is no such version.
    """
    if not versions(directory):
        raise RunError(f"{directory} holds no version; expected the folder of versions, such as runs/flowers/pushed.")
    with writing(directory):
        existing = versions(directory)
        newest = directory / str(existing[-1])
        if to is None:
            to = _version_before(directory, existing)
        elif to not in existing:
            held = ", ".join(map(str, existing))
            raise RunError(f"--to: got {to}; {directory} holds {held}. `push.keep` says how many are kept.")
        target = directory / str(to)
        if _digest_of(target) == _digest_of(newest):
            return newest, to
        record = read_record(target).model_copy(update={"rolled_back_to": to, "by": by})
        text = {PushRecord.FILE: record_text(record)}
        version = _publish_copy(target, directory, text, link=True)
        _point(directory)
        return version, to


def versions(directory: Path) -> list[int]:
    """The version numbers in a folder, ascending; none when there is no such folder."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(int(path.name) for path in found if not is_bucket(path) or bucket_versions.is_whole(path))


def newest_version(directory: Path) -> Path | None:
    """The folder of the version that is served, which is the highest number; None when there is none."""
    existing = versions(directory)
    return directory / str(existing[-1]) if existing else None


def served_instead(version: Path) -> Path | None:
    """The version that is served in place of this one, because of a later push or a rollback; None when this one is.

    A rollback to this version serves its model under another number, which is this one.
    """
    newest = newest_version(version.parent)
    if newest is None or newest == version or not version.is_dir() or _digest_of(newest) == _digest_of(version):
        return None
    return newest


def read_record(version: Path) -> PushRecord:
    """Returns what a version says of itself; an empty record when it has none that can be read."""
    try:
        return PushRecord.find(version) or PushRecord()
    except RunError:
        return PushRecord()


def record_text(record: PushRecord) -> str:
    """Returns the text of `push.json`, with the time of now."""
    return record.model_copy(update={"at": datetime.now(timezone.utc).isoformat(timespec="seconds")}).text()


def model_digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over the names and contents of a model's files; those that a push adds do not count."""
    # What a killed writer left of one of them does not count either.
    unfinished = tuple(f".{name}." for name in _ADDED)
    digest = hashlib.sha256()
    # Part by part, so that a name that goes on after another's end has the same place in folders and in buckets.
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name, path in sorted(files.items(), key=lambda item: item[0].split("/")):
        if path.parent == folder and (path.name in _ADDED or path.name.startswith(unfinished)):
            continue
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Holds the folder against other writers, and clears what a killed one left; the lock goes with the process.

    In a bucket, writers share no lock and need none: each claims the number of its version.

    Raises:
        RunError: The folder cannot be written, or an error of the file system within the block, such as a full disk.
    """
    if is_bucket(directory):
        yield
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _clear(directory)
            try:
                yield
            finally:
                _clear(directory)
    except OSError as error:
        why = "the disk is full" if is_full(error) else str(error)
        raise RunError(
            f"push.directory: {directory} could not be written: {why}. Its versions are unharmed."
        ) from error


def incoming_copy(
    source: Path, directory: Path, texts: Mapping[str, str], copy: Callable[[str, str], Any] = shutil.copy2
) -> Path:
    """Copies a model beside the versions under a hidden name, with other files of ours, and syncs it to the disk."""
    incoming = directory / f"{_INCOMING}{os.getpid()}"
    ours = {PushRecord.FILE} & set(texts)
    shutil.copytree(
        source,
        incoming,
        copy_function=copy,
        ignore=lambda folder, names: ours & set(names) if Path(folder) == source else (),
    )
    for name, text in texts.items():
        (incoming / name).write_text(text, encoding="utf-8")
    for path in [*incoming.rglob("*"), incoming]:
        sync_to_disk(path)
    return incoming


def publish(folder: Path, directory: Path) -> Path:
    """Makes a whole folder beside the versions the next version."""
    target = directory / str(max(versions(directory), default=0) + 1)
    folder.rename(target)
    sync_to_disk(directory)
    _point(directory)
    return target


def prune(directory: Path, keep: int) -> None:
    """Removes all but the `keep` newest versions, and as many that wait for approval; the newest always stays."""
    for number in versions(directory)[: -max(keep, 1)]:
        drop(directory / str(number), directory)
    if is_bucket(directory):
        return
    waiting = sorted((directory / PENDING).glob("*"), key=lambda path: path.stat().st_mtime)
    for path in waiting[: -max(keep, 1)]:
        drop(path, directory)
    left = {read_record(directory / str(number)).model_sha256 for number in versions(directory)}
    forget_others(directory, left | {path.name for path in waiting[-max(keep, 1) :]})


def drop(folder: Path, directory: Path) -> None:
    """Removes a folder below `directory`, if it is there: out of sight in one step, then file by file."""
    if is_bucket(folder):
        bucket_versions.drop(folder)
    elif folder.is_dir():
        outgoing = directory / f"{_OUTGOING}{folder.name}"
        shutil.rmtree(outgoing, ignore_errors=True)
        folder.rename(outgoing)
        shutil.rmtree(outgoing)


def _publish_copy(source: Path, directory: Path, texts: Mapping[str, str], link: bool = False) -> Path:
    """Publishes a copy of a model with texts of ours; `link` allows its files to be those of another version."""
    if is_bucket(directory):
        return bucket_versions.publish(source, directory, texts)
    copy = {"copy": _link_or_copy} if link else {}
    return publish(incoming_copy(source, directory, texts, **copy), directory)


def _digest_of(version: Path) -> str:
    """The digest of a version's model: read from its files, or, in a bucket, what its record says."""
    return read_record(version).model_sha256 if is_bucket(version) else model_digest(version)


def _version_before(directory: Path, existing: list[int]) -> int:
    """The newest version before the served model, which after a rollback is the one that was rolled back to."""
    newest = directory / str(existing[-1])
    first = read_record(newest).rolled_back_to or existing[-1]
    served = _digest_of(newest)
    for number in reversed(existing):
        if number < first and _digest_of(directory / str(number)) != served:
            return number
    raise RunError(
        f"{directory} holds no model from before the one that is served; `push.keep` says how many versions are kept. "
        "Name another one with --to."
    )


def _point(directory: Path) -> None:
    newest = newest_version(directory)
    if newest:
        text = ChampionPointer(version=int(newest.name), **read_record(newest).plain()).text()
        path = ChampionPointer.path(directory)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        if is_bucket(path):
            write_object(str(path), text.encode())
        else:
            write_text(path, text, sync=True)


def _clear(directory: Path) -> None:
    for leftover in [*directory.glob(f"{_INCOMING}*"), *directory.glob(f"{_OUTGOING}*")]:
        shutil.rmtree(leftover)
    for partial in directory.glob(f".{ChampionPointer.FILE}.*"):
        partial.unlink()


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

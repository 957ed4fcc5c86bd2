"""Folders in buckets, `s3://` and `gs://`, as paths beside those of this machine.

Credentials come from the environment, as each provider's own tools read it (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...,
GOOGLE_APPLICATION_CREDENTIALS), and nothing here names or logs them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from finetune.errors import RunError

SCHEMES = ("s3", "gs")

_Result = TypeVar("_Result")


def is_bucket(path: object) -> bool:
    """Tells whether a path is in a bucket."""
    return str(path).startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def folder(path: str | Path) -> Path:
    """Returns the path of a folder; that of one in a bucket has the methods of `pathlib` too.

    Raises:
        RunError: It is in a bucket, and the packages for buckets are not installed.
    """
    if not is_bucket(path):
        return Path(path)
    try:
        from upath import UPath
    except ImportError:
        raise RunError(
            f"{path}: buckets need packages of their own; install them: pip install 'finetune-pipeline[buckets]'"
        ) from None
    # Others write there too: what is there is asked anew each time.
    return cast(Path, UPath(path, use_listings_cache=False))


@dataclass(frozen=True)
class Entry:
    """An object in a bucket: its name below the listed folder, its size in bytes and when it was written."""

    name: str
    size: int
    mtime_ns: int


def names(place: str) -> list[tuple[str, bool]]:
    """Lists what lies directly in a folder: names, sorted, each with whether it is a folder.

    Raises:
        FileNotFoundError: There is no such folder.
        RunError: The bucket cannot be listed.
    """
    system, root = _system(place)
    found = _answer(place, lambda: system.ls(root, detail=True))
    inside = [facts for facts in found if facts["name"].rstrip("/") != root]
    return sorted((facts["name"].rstrip("/").rpartition("/")[2], facts["type"] == "directory") for facts in inside)


def entries(place: str) -> list[Entry]:
    """Lists all objects below a folder, sorted by name, in as few requests as the provider allows.

    Raises:
        RunError: The bucket cannot be listed.
    """
    system, root = _system(place)
    found = _answer(place, lambda: system.find(root, detail=True))
    listed = [_entry(name.removeprefix(f"{root}/"), facts) for name, facts in found.items() if not name.endswith("/")]
    return sorted(listed, key=lambda entry: entry.name)


def read(place: str) -> bytes:
    """Returns the bytes of an object, all of them: a connection that is lost on the way is made anew.

    Raises:
        FileNotFoundError: It is not there.
        PermissionError: These credentials may not read it.
        RunError: The connection was lost too often.
    """
    system, path = _system(place)
    return cast(bytes, _answer(place, lambda: system.cat_file(path)))


def write(place: str, data: bytes) -> None:
    """Writes an object at once: a reader finds the old one or the new.

    Raises:
        RunError: It could not be written.
    """
    system, path = _system(place)
    _answer(place, lambda: system.pipe_file(path, data))


def create(place: str, data: bytes) -> bool:
    """Writes an object that is not there yet; returns whether it was not, which one of several writers is told.

    Raises:
        RunError: It could not be written.
    """
    system, path = _system(place)
    try:
        _answer(place, lambda: system.pipe_file(path, data, mode="create"))
    except FileExistsError:
        return False
    return True


def remove(place: str) -> None:
    """Removes an object, or everything below a folder; what is not there is removed already."""
    system, path = _system(place)
    with suppress(FileNotFoundError):
        _answer(place, lambda: system.rm(path, recursive=True))


def _system(place: str) -> tuple[Any, str]:
    """fsspec's file system of a place, and the path in it."""
    folder(place)
    import fsspec

    system = fsspec.filesystem(place.partition("://")[0], use_listings_cache=False)
    return system, place.partition("://")[2].rstrip("/")


def _answer(place: str, action: Callable[[], _Result]) -> _Result:
    """What a provider's client answers; it makes lost connections anew by itself, several times."""
    try:
        return action()
    except (FileNotFoundError, FileExistsError, PermissionError):
        raise
    except Exception as error:  # Each client has exceptions of its own.
        raise RunError(
            f"{place}: the bucket did not answer as expected ({type(error).__name__}: {error}). Check the network, the "
            "endpoint and the credentials in the environment, and run again."
        ) from error


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    """What fsspec passes on: of S3 `LastModified`, a datetime; of Google `updated`, ISO 8601."""
    moment = facts.get("LastModified") or facts.get("updated")
    moment = datetime.fromisoformat(moment.replace("Z", "+00:00")) if isinstance(moment, str) else moment
    return Entry(name, int(facts["size"]), int(moment.timestamp() * 1e9) if moment else 0)

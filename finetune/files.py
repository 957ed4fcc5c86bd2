"""Files that are replaced in one step: whoever reads, or is killed, finds the old content or the new, never a part."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, sync: bool = False) -> Iterator[Path]:
    """Yields the path of a new file beside `path`, which takes its place when the block ends without an error.

    Args:
        path: The file; its folder must be there, and may be shared with other machines. Another name that it was
            linked to keeps the old content.
        sync: Whether to wait until the disk has the content, so that it survives a loss of power too.
    """
    unfinished = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}-{threading.get_ident()}")
    try:
        yield unfinished
        if sync:
            sync_to_disk(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str, sync: bool = False, errors: str = "strict") -> None:
    """Writes a text file in UTF-8; `errors` is what `str.encode` takes. See `replacing`."""
    with replacing(path, sync) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=errors)


def text_of(path: Path) -> str | None:
    """Returns the content of a text file in UTF-8; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def as_json(content: Any) -> str:
    """Returns plain data as the JSON text of a file; numbers may be NaN or infinite, as Python's own reader allows."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes plain data as JSON. See `replacing`."""
    write_text(path, as_json(content))


def sync_to_disk(path: Path) -> None:
    """Waits until the disk has a file, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Which examples the pushed models learned from, by their digests: a list for each model beside the versions.

    .learned_from/<digest of the model>.txt

A later candidate is not compared with a champion on what that one learned from. The lists are hidden from servers, and
go with the last version of their model.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from finetune.artifacts.split_digests import SplitDigests
from finetune.buckets import is_bucket
from finetune.buckets import write as write_object
from finetune.files import write_text

FOLDER = ".learned_from"


def note(directory: Path, model_sha256: str, digests: SplitDigests) -> None:
    """Keeps what a model learned from; whoever pushes holds the folder of versions meanwhile."""
    path = _path(directory, model_sha256)
    if is_bucket(path):
        write_object(str(path), digests.text().encode())
        return
    path.parent.mkdir(exist_ok=True)
    write_text(path, digests.text(), sync=True)


def of_model(directory: Path, model_sha256: str) -> SplitDigests | None:
    """Returns what a model learned from; None where that was not kept, as by versions of ours before this one.

    Raises:
        RunError: The list is damaged.
    """
    return SplitDigests.find(_path(directory, model_sha256)) if model_sha256 else None


def forget_others(directory: Path, models: Collection[str]) -> None:
    """Removes the lists of all models but these, by their digests."""
    for path in (directory / FOLDER).glob("*.txt"):
        if path.stem not in models:
            path.unlink()


def _path(directory: Path, model_sha256: str) -> Path:
    return directory / FOLDER / f"{model_sha256}.txt"

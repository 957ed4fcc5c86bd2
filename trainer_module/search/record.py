"""What a search has found so far, in files, so that a killed one goes on. No TensorFlow here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from finetune.artifacts.base import Artifact, Record
from finetune.errors import RunError
from finetune.files import replacing


class Done(Record):
    """A candidate that was trained."""

    seconds: float
    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    gradient_accumulation_steps: int


class Found(Artifact):
    """What a search over a training has found.

    Attributes:
        key: Fingerprint of the training that it is of.
    """

    key: str

    @classmethod
    def opened(cls, folder: Path, key: str) -> Self:
        """Reads the record of a training; what is of another one, or torn, is removed."""
        try:
            found = cls.find(folder)
        except RunError:
            found = None
        if found is None or found.key != key:
            shutil.rmtree(folder, ignore_errors=True)
            return cls(key=key)
        return found

    def logits(self, folder: Path, name: str) -> np.ndarray:
        """Reads the logits of what was trained, as they were written."""
        found: np.ndarray = np.load(_logits_file(folder, name))
        return found

    @staticmethod
    def write_logits(folder: Path, name: str, logits: np.ndarray) -> None:
        """Writes the logits of what was trained; to be called before the record says that it is there."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(_logits_file(folder, name)) as unfinished, unfinished.open("wb") as file:
            np.save(file, logits)

    def kept(self, folder: Path, **changes: Any) -> Self:
        """Changes the record, in memory and in its folder."""
        record = self.model_copy(update=changes)
        record.write(folder)
        return record


class SearchRecord(Found, file="search.json"):
    """What a search knows.

    Attributes:
        spent: Seconds before the first candidate that trains.
        expected: Seconds of each candidate; measured once, so that what fits stays what it was.
        left_out: Why, by name.
        as_trained: Names of those whose last fit the budget has no room for.
        parts: Names of those that are tried on each part of train.
        done: Those that were trained, by name and part; the logits of each lie beside in a file.
    """

    spent: float = 0.0
    expected: dict[str, float] = {}
    left_out: dict[str, str] = {}
    as_trained: list[str] = []
    parts: list[list[str]] = []
    done: dict[str, Done] = {}

    @property
    def seconds(self) -> float:
        """Counts what the search has taken."""
        return self.spent + sum(done.seconds for done in self.done.values())

    def is_settled(self, name: str, trial: str) -> bool:
        """Says whether nothing is left to do for a candidate on a part, where it is a trial of this name."""
        return trial in self.done or name in self.left_out

    def measured(
        self, folder: Path, spent: float, expected: dict[str, float], left_out: dict[str, str], as_trained: list[str]
    ) -> Self:
        """Adds what decides which candidates fit, once and for all."""
        return self.kept(folder, spent=spent, expected=expected, left_out=left_out, as_trained=as_trained)

    def without(self, folder: Path, name: str, reason: str) -> Self:
        """Leaves a candidate out."""
        return self.kept(folder, left_out={**self.left_out, name: reason})

    def with_part(self, folder: Path, names: list[str], no_last_fit: list[str]) -> Self:
        """Adds a part of train, on which some are tried; others may have no room for a last fit after it."""
        return self.kept(folder, parts=[*self.parts, names], as_trained=[*self.as_trained, *no_last_fit])

    def with_done(self, folder: Path, name: str, done: Done, logits: np.ndarray) -> Self:
        """Adds a candidate on a part, and its logits, float32 [views, examples of the part, classes]."""
        self.write_logits(folder, name, logits)
        return self.kept(folder, done={**self.done, name: done})


def _logits_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"

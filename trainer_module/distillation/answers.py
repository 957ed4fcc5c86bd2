"""What a teacher said of examples, as a file. Plain NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.errors import RunError
from finetune.files import replacing

_FILE = "answers.npz"
# Beside it: transformed examples without labels, TFRecord; none where there are none.
UNLABELLED_FILE = "unlabelled"


@dataclass(frozen=True)
class Answers:
    """Answers are those of a teacher, each to an example; examples with the same key have the same answer."""

    keys: Sequence[str]
    probabilities: np.ndarray  # float32 [keys, classes], in the order of the columns of the model that learns.

    def of(self, keys: Sequence[str]) -> np.ndarray:
        """Returns the answer to each of some examples, float32 [examples, classes].

        Raises:
            RunError: The teacher was not asked about one.
        """
        places = {key: place for place, key in enumerate(self.keys)}
        missing = [key for key in keys if key not in places]
        if missing:
            raise RunError(
                f"training.distillation: the teacher was asked about {len(places):,} examples, and about "
                f"{len(missing):,} of those to learn from it was not, such as {missing[0]}. Run again, with the node "
                "Teacher, on the same data."
            )
        return self.probabilities[[places[key] for key in keys]]

    def write(self, folder: Path) -> None:
        """Writes them into a folder that is there."""
        with replacing(folder / _FILE) as unfinished, unfinished.open("wb") as file:
            np.savez(file, keys=np.array(self.keys, dtype=np.str_), probabilities=self.probabilities)

    @classmethod
    def read(cls, folder: Path) -> Answers:
        """Reads what `write` wrote.

        Raises:
            RunError: It is not there, or damaged.
        """
        path = folder / _FILE
        try:
            with np.load(path) as saved:
                return cls(saved["keys"].tolist(), saved["probabilities"])
        except Exception as error:  # NumPy raises whatever the bytes lead it to.
            raise RunError(
                f"{path}: what the teacher said cannot be read ({error}). Remove the file, and run again."
            ) from error


def digest_of(probabilities: np.ndarray) -> str:
    """Returns what identifies answers in their order."""
    return hashlib.sha256(np.ascontiguousarray(probabilities).tobytes()).hexdigest()

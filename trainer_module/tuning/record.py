"""What a search over training keys has found so far, in files, so that a killed one goes on. No TensorFlow here."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import Self

from finetune.artifacts.tuning import Trial
from finetune.errors import RunError
from trainer_module.search.record import Found


class TrialsRecord(Found, file="trials.json"):
    """The trials that are over, by number, as they were trained; the logits of each lie beside in a file.

    Attributes:
        seconds: That the search has taken.
        impatient: Whether the last trials gained nothing for so long that no other is to be trained.
    """

    trials: dict[int, Trial] = {}
    seconds: float = 0.0
    impatient: bool = False

    @classmethod
    def shared(cls, folder: Path, key: str) -> Self:
        """Reads the record from a folder that others work in, and that is of this search alone; removes nothing."""
        try:
            return cls.find(folder) or cls(key=key)
        except RunError:
            return cls(key=key)

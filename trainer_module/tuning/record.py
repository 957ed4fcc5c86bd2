"""What a search over training keys has found so far, in files, so that a killed one goes on. No TensorFlow here."""

from __future__ import annotations

from finetune.artifacts.tuning import Trial
from trainer_module.search.record import Found


class TrialsRecord(Found, file="trials.json"):
    """The trials that are over, by number; the logits of each lie beside in a file.

    Attributes:
        seconds: That the search has taken.
    """

    trials: dict[int, Trial] = {}
    seconds: float = 0.0

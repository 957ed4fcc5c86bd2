"""What follows a training from outside, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer_module.frozen_features.feed import Feed


@dataclass(frozen=True)
class Watch:
    """A watch scores each epoch, and may end the training after it.

    Attributes:
        score: Scores the weights in the model by the validation examples that a phase reads; NaN where it is undefined.
        verdict: Says why training ends now, by the number of the phase and the scores of its epochs so far; "" where it
            goes on.
    """

    score: Callable[[Feed], float]
    verdict: Callable[[int, Sequence[float]], str]

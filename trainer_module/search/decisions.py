"""Which candidates fit a budget, and which one wins. No TensorFlow here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A step forward and back takes three times as long as forward alone: the gradients by outputs and those by weights.
FORWARD = 1 / 3


@dataclass(frozen=True)
class Measured:
    """Seconds that were measured once, of a step that trains all layers on changed examples."""

    start: float  # Until the first step and a validation are done.
    step: float  # Of each step after it.


@dataclass(frozen=True)
class Work:
    """What a phase does, as far as it costs time.

    Attributes:
        steps: Of training.
        epochs: After each of which it validates.
        above: Share of the network's multiplications that are above the first layer that trains.
        train_rows: Rows of train that the frozen part is run over once; 0 where it runs in every step.
        val_steps: In a pass over validation.
        val_kept: Whether the frozen part runs over validation once.
    """

    steps: int
    epochs: int
    above: float
    train_rows_in_steps: float
    val_steps: int
    val_kept: bool


def expected_seconds(measured: Measured, works: Sequence[Work]) -> float:
    """Says how long phases take, from what a step takes and how much of the network each trains."""
    total = 0.0
    for work in works:
        below = FORWARD * (1 - work.above)
        once = work.train_rows_in_steps * below + work.val_steps * below * work.val_kept
        train = work.steps * (work.above + (0.0 if work.train_rows_in_steps else below))
        look = work.val_steps * (FORWARD * work.above + (0.0 if work.val_kept else below))
        total += measured.start + measured.step * (once + train + (work.epochs + 1) * look)
    return total


def that_fit(expected: Sequence[float], last_fits: Sequence[float], spent: float, budget: float) -> list[bool]:
    """Says which candidates a budget has room for, those before first; the first, which is done, always.

    Args:
        expected: Seconds of each candidate.
        last_fits: Seconds of the last fit, were it chosen.
        spent: Seconds so far.
        budget: Seconds in all, of search and last fit.
    """
    fits, longest = [True], last_fits[0]
    for seconds, last in zip(expected[1:], last_fits[1:], strict=True):
        room = spent + seconds + max(longest, last) <= budget
        fits.append(room)
        if room:
            spent, longest = spent + seconds, max(longest, last)
    return fits


@dataclass(frozen=True)
class Scores:
    """How a candidate did on each validation example, in the same order for all."""

    losses: np.ndarray  # float [examples].
    hits: np.ndarray  # float [examples], as the task counts accuracy.


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a simpler one."""

    gain: float  # How much lower its loss is, mean over examples.
    standard_error: float  # Of that mean; infinite for a single example.
    more_right: float  # How much higher its accuracy is.

    @property
    def wins(self) -> bool:
        """Whether the gain is beyond its standard error and accuracy not lower."""
        return self.gain > self.standard_error and self.more_right >= 0

    def reason(self, simpler: str) -> str:
        """Says in a sentence why it is taken or left."""
        lower = f"its loss is lower than that of {simpler} by {self.gain:.4f}, standard error {self.standard_error:.4f}"
        if self.wins:
            return f"{lower}, and its accuracy not lower"
        if self.gain > self.standard_error:
            return f"{lower}, but its accuracy is lower by {-self.more_right:.4f}"
        if self.gain > 0:
            return f"{lower}: not beyond it, and {simpler} is simpler"
        return f"its loss is not lower than that of {simpler} (by {-self.gain:.4f} higher)"


def compare(simpler: Scores, candidate: Scores) -> Comparison:
    """Compares example by example: what is hard for both cancels out."""
    gains = simpler.losses - candidate.losses
    spread = float(gains.std(ddof=1)) if len(gains) > 1 else math.inf
    more_right = float(candidate.hits.mean() - simpler.hits.mean())
    return Comparison(float(gains.mean()), spread / math.sqrt(len(gains)), more_right)


def choose(scores: dict[str, Scores]) -> tuple[str, dict[str, tuple[str, Comparison]]]:
    """Goes from the simplest on, and takes each that wins against the one taken so far.

    Args:
        scores: Of each candidate, from simple to dear.

    Returns:
        The name of the one taken, and of each but the first the name of what it was held against, and how it did.
    """
    taken, *others = scores
    held: dict[str, tuple[str, Comparison]] = {}
    for name in others:
        held[name] = taken, compare(scores[taken], scores[name])
        if held[name][1].wins:
            taken = name
    return taken, held

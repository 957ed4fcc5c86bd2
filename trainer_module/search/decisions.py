"""Which candidates fit a budget, and which one wins. No TensorFlow here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from trainer_module.frozen_features.planner import Planner
from trainer_module.phases.schedules import total_steps

# A step forward and back takes three times as long as forward alone: the gradients by outputs and those by weights.
FORWARD = 1 / 3
# For a plan, before anything is measured: what two cores reach on MobileNetV2, and the time to compile a step.
MULTIPLY_ADDS_A_SECOND = 1e10
SECONDS_TO_START = 15.0
# Standard errors by which a loss is higher for good.
SURE = 2.0
# Parts of train to hold out, at most: with four, five times as many examples judge, which halves the standard error.
MOST_PARTS = 4


@dataclass(frozen=True)
class Measured:
    """Seconds that were measured once, of a step that trains all layers on changed examples."""

    start: float  # Until the first step and a validation are done.
    step: float  # Of each step after it.


def assumed(planner: Planner) -> Measured:
    """Guesses what a step takes on two cores, to the order of magnitude."""
    of_example = sum(node.multiply_adds for node in planner.graph.nodes) / FORWARD
    return Measured(SECONDS_TO_START, planner.training.batch_size * of_example / MULTIPLY_ADDS_A_SECOND)


def expected_seconds(measured: Measured, planner: Planner) -> float:
    """Says how long all phases of a training take, from what a step takes and how much of the network each trains."""
    return sum(_of_phase(measured, planner, index) for index in range(len(planner.training.phases)))


def _of_phase(measured: Measured, planner: Planner, index: int) -> float:
    training, decision = planner.training, planner.decisions[index]
    train, val = planner.train / training.batch_size, planner.val / training.batch_size
    steps = total_steps(training.phases[index], planner.train, training.batch_size)
    looks = math.ceil(steps / math.ceil(train)) + 1
    above = planner.share_above(index)
    below = FORWARD * (1 - above)
    # What is kept runs through the frozen layers once, everything else each time.
    through_frozen = planner.copies(index) * train if decision.train != "off" else steps
    through_frozen += val if decision.val != "off" else looks * val
    return measured.start + measured.step * (below * through_frozen + above * (steps + FORWARD * looks * val))


class Room(Enum):
    """What a budget has room for: not for a candidate, for it as it is, or for its last fit too."""

    NONE = "none"
    NO_LAST_FIT = "no last fit"
    ALL = "all"


def that_fit(expected: Sequence[float], last_fits: Sequence[float], spent: float, budget: float) -> list[Room]:
    """Says which candidates a budget has room for.

    The first, which is done, always; then the dearest that has room alone, as it gains most where anything does; then
    others, cheap ones before dear ones. What room is left goes to those that would go out as the search trained them,
    dear ones before cheap ones: a last fit adds the examples of validation, a candidate may add more.

    Args:
        expected: Seconds of each candidate.
        last_fits: Seconds of the last fit, were it chosen.
        spent: Seconds so far.
        budget: Seconds in all, of search and last fit.
    """
    rooms, longest = [Room.NONE if index else Room.ALL for index in range(len(expected))], 0.0

    def take(index: int, room: Room) -> bool:
        nonlocal spent, longest
        last = max(longest, last_fits[index]) if room is Room.ALL else longest
        if rooms[index] is Room.NONE and spent + expected[index] + last <= budget:
            rooms[index], spent, longest = room, spent + expected[index], last
            return True
        return False

    by_seconds = sorted(range(1, len(expected)), key=lambda index: expected[index])
    any(take(index, Room.ALL) for index in reversed(by_seconds))
    for index in by_seconds:
        take(index, Room.ALL)
    for index in reversed(by_seconds):
        take(index, Room.NO_LAST_FIT)
    return rooms


@dataclass(frozen=True)
class Scores:
    """How a candidate did on each example that was held out, in the same order for all; NaN where it was not tried."""

    losses: np.ndarray  # float [examples].
    hits: np.ndarray  # float [examples], as the task counts accuracy.

    @classmethod
    def unknown(cls, examples: int) -> Scores:
        """Returns those of one that was not tried on so many examples."""
        return cls(np.full(examples, np.nan), np.full(examples, np.nan))

    @classmethod
    def mean_of(cls, examples: int, found: Sequence[tuple[np.ndarray, Scores]]) -> Scores:
        """Returns the mean for each of so many examples over several scores, each with the rows that it is of."""
        sums, counts = np.zeros((2, examples)), np.zeros(examples)
        for rows, scores in found:
            sums[:, rows] += scores.losses, scores.hits
            counts[rows] += 1
        return cls(*np.where(counts, sums / np.maximum(counts, 1), np.nan))

    @classmethod
    def of_parts(cls, parts: Sequence[Scores]) -> Scores:
        """Joins those of several parts of the examples."""
        return cls(np.concatenate([part.losses for part in parts]), np.concatenate([part.hits for part in parts]))


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a simpler one."""

    examples: int  # On which both were tried.
    gain: float  # How much lower its loss is, mean over these.
    standard_error: float  # Of that mean; infinite for a single example.
    more_right: float  # How much higher its accuracy is.

    @property
    def wins(self) -> bool:
        """Whether the gain is beyond its standard error and accuracy not lower."""
        return self.gain > self.standard_error and self.more_right >= 0

    @property
    def does_no_harm(self) -> bool:
        """Whether the loss is not higher beyond the standard error."""
        return -self.gain <= self.standard_error

    @property
    def may_turn(self) -> bool:
        """Whether the loss is not so much higher that more examples will hardly say otherwise."""
        return -self.gain <= SURE * self.standard_error and (self.gain, self.standard_error) != (0, 0)

    def reason(self, simpler: str) -> str:
        """Says in a sentence why it is taken or left."""
        figures = f"standard error {self.standard_error:.4f}, on {self.examples:,} examples"
        lower = f"its loss is lower than that of {simpler} by {self.gain:.4f}, {figures}"
        if self.wins:
            return f"{lower}, and its accuracy not lower"
        if self.gain > self.standard_error:
            return f"{lower}, but its accuracy is lower by {-self.more_right:.4f}"
        if self.gain > 0:
            return f"{lower}: not beyond it, and {simpler} is simpler"
        higher = f"higher by {-self.gain:.4f}" if self.gain else "the same"
        return f"its loss is not lower than that of {simpler}, but {higher}"


def compare(simpler: Scores, candidate: Scores) -> Comparison:
    """Compares example by example: what is hard for both cancels out."""
    # What went all the way back to the start differs by the rounding of float32.
    gains = np.round(simpler.losses - candidate.losses, 6)
    both = ~np.isnan(gains)
    gains = gains[both]
    spread = float(gains.std(ddof=1)) if len(gains) > 1 else math.inf
    more_right = float(candidate.hits[both].mean() - simpler.hits[both].mean())
    return Comparison(len(gains), float(gains.mean()), spread / math.sqrt(len(gains)), more_right)


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


def how_many(train: int, val: int) -> int:
    """Says into how many parts so many examples of train are cut: each is as large as val, within a tenth and half."""
    return min(max(round(train / val), 2), 10)


def still_open(scores: dict[str, Scores]) -> list[str]:
    """Returns the names between which more examples may change the choice; none where it is clear.

    Args:
        scores: Of each candidate, from simple to dear.
    """
    taken, _ = choose(scores)
    others = [name for name in scores if name != taken and compare(scores[taken], scores[name]).may_turn]
    return [name for name in scores if name in (taken, *others)] if others else []


def that_go_on(
    names: Sequence[str], taken: str, seconds: dict[str, float], last_fits: dict[str, float], room: float
) -> list[str]:
    """Says which candidates are tried on one more part, from simple to dear; none where that would tell nothing.

    The simplest, on which the others build, always is; then cheap ones before dear ones, each of which must have room
    for its last fit too.

    Args:
        names: Those between which the choice is open.
        taken: The choice so far, whose last fit must keep its room.
        seconds: That each candidate took on a part, from simple to dear.
        last_fits: Seconds of the last fit, were it chosen.
        room: Seconds that are left.
    """
    simplest, *_ = seconds
    left, longest, going = room - seconds[simplest], last_fits[taken], {simplest}
    for name in sorted(set(names) - going, key=lambda name: seconds[name]):
        last = max(longest, last_fits[name])
        if seconds[name] + last <= left:
            left, longest = left - seconds[name], last
            going.add(name)
    return [name for name in seconds if name in going] if len(going & set(names)) > 1 else []

"""Which values are tried next: Keras Tuner's oracles, and one key at a time. No TensorFlow of ours here.

An oracle lives in memory alone. It is a function of its seed and of the scores that it is told, so that a search which
was killed tells a new one what is known, and gets the same proposals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keras_tuner import HyperParameters, Objective
from keras_tuner.engine.oracle import Oracle
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle

from finetune.config import TuningConfig
from finetune.config.space import Dimension, Values, decoded, encoded

# Hyperband keeps one trial in so many, and trains it so many times as long (Li et al. 2018, section 2.6).
FACTOR = 3
_SCORE = "score"


@dataclass(frozen=True)
class Proposal:
    """A proposal is what a trial is to be.

    Attributes:
        number: From 0, the trial of the config as it is.
        values: Of the keys that are tried; others stay as they are in the config.
        share: Of the time of each phase, in (0, 1].
    """

    number: int
    values: Values
    share: float = 1.0


class Proposer(Protocol):
    """Proposes trials."""

    def ask(self) -> list[Proposal]:
        """Returns all trials that need no other's score; none where all have been proposed."""
        ...

    def tell(self, number: int, score: float) -> None:
        """Takes the score of a trial that was proposed; NaN where it failed."""
        ...


def proposer_of(
    tuning: TuningConfig, dimensions: Sequence[Dimension], as_it_is: Values, higher_is_better: bool
) -> Proposer:
    """Makes what proposes the trials that a config asks for, after that of the config as it is.

    Args:
        tuning: Method, seed and number of trials.
        dimensions: The space.
        as_it_is: What the config says of each key of the space.
        higher_is_better: Direction of scores.
    """
    if tuning.method == "one_at_a_time":
        return OneAtATime(tuning, dimensions, as_it_is)
    return FromOracle(tuning, dimensions, higher_is_better)


class OneAtATime:
    """Proposes each value of each key while all other keys stay as the config has them."""

    def __init__(self, tuning: TuningConfig, dimensions: Sequence[Dimension], as_it_is: Values):
        """Takes the arguments of `proposer_of`; a key that has no say in the config as it is stays as it is."""
        points = [
            {each.key: value}
            for each in dimensions
            if each.has_a_say(as_it_is)
            for value in each.points(tuning.points)
            if not _same(value, as_it_is[each.key])
        ]
        self._left = [Proposal(number, values) for number, values in enumerate(points[: tuning.trials - 1], start=1)]

    def ask(self) -> list[Proposal]:
        """Returns all at once."""
        left, self._left = self._left, []
        return left

    def tell(self, number: int, score: float) -> None:
        """Needs no score."""


def _same(one: Any, other: Any) -> bool:
    """Says whether two values are equal, numbers but for the rounding of a logarithm."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


class FromOracle:
    """Proposes what an oracle of Keras Tuner does."""

    def __init__(self, tuning: TuningConfig, dimensions: Sequence[Dimension], higher_is_better: bool):
        """Takes the arguments of `proposer_of`."""
        self._most = tuning.trials - 1
        self._initial = max(FACTOR * len(dimensions), FACTOR) if tuning.method == "bayesian" else self._most
        self._max_epochs, iterations = hyperband_size(self._most)
        common: dict[str, Any] = {
            "objective": Objective(_SCORE, "max" if higher_is_better else "min"),
            "seed": tuning.seed,
            "hyperparameters": hyperparameters(dimensions),
            # A space that never learns is for the record to tell.
            "max_consecutive_failed_trials": tuning.trials + 1,
        }
        self._oracle: Oracle
        if tuning.method == "random":
            self._oracle = _Random(max_trials=self._most, **common)
        elif tuning.method == "bayesian":
            self._oracle = _Bayesian(max_trials=self._most, num_initial_points=self._initial, **common)
        else:
            self._oracle = _Hyperband(
                max_epochs=self._max_epochs, factor=FACTOR, hyperband_iterations=iterations, **common
            )
        self._oracle.verbose = 0
        self._asked: dict[int, Trial] = {}

    def ask(self) -> list[Proposal]:
        """Returns as many as the oracle gives without a score; of a Gaussian process, one after the random ones."""
        found: list[Proposal] = []
        most = max(1, self._initial - len(self._asked)) if self._most else 0
        while len(found) < most and len(self._asked) < self._most:
            number = len(self._asked) + 1
            trial = self._oracle.create_trial(f"trial {number}")
            if trial.status != TrialStatus.RUNNING:
                break
            self._asked[number] = trial
            known = trial.hyperparameters.values
            share = known.get("tuner/epochs", self._max_epochs) / self._max_epochs
            found.append(Proposal(number, decoded(known), share))
        return found

    def tell(self, number: int, score: float) -> None:
        """Passes it on."""
        trial = self._asked[number]
        if math.isfinite(score):
            self._oracle.update_trial(trial.trial_id, {_SCORE: score})
            trial.status = TrialStatus.COMPLETED
        else:
            trial.status = TrialStatus.FAILED
        self._oracle.end_trial(trial)


def hyperparameters(dimensions: Sequence[Dimension], values: Values | None = None) -> HyperParameters:
    """Returns a space as Keras Tuner has it, with values of some of its keys or with its own."""
    space = HyperParameters()
    by_key = {each.key: each for each in dimensions}
    for each in dimensions:
        parents = [
            (other, [encoded(value, by_key[other].choices) for value in wanted])
            for other, wanted in (each.when or {}).items()
        ]
        _add(space, each, parents)
    if values is not None:
        space.values = {key: encoded(value, by_key[key].choices) for key, value in values.items()}
    return space


def _add(space: HyperParameters, each: Dimension, parents: list[tuple[str, list[Any]]]) -> None:
    if parents:
        (name, wanted), *others = parents
        with space.conditional_scope(name, wanted):
            _add(space, each, others)
    elif each.choices:
        space.Choice(each.key, list(dict.fromkeys(encoded(value, each.choices) for value in each.choices)))
    else:
        kind = space.Int if each.whole else space.Float
        kind(each.key, each.low, each.high, sampling="log" if each.log else "linear")


def hyperband_size(trials: int) -> tuple[int, int]:
    """Returns the most `epochs` of a Hyperband that so many trials suffice for, and how often it is gone through.

    An epoch stands for that part of each phase's time.
    """
    most = FACTOR
    while _hyperband_trials(most * FACTOR) <= trials:
        most *= FACTOR
    return most, max(1, trials // _hyperband_trials(most))


def _hyperband_trials(most: int) -> int:
    """Counts the trials of one Hyperband, as Keras Tuner sizes its brackets."""
    brackets = round(math.log(most, FACTOR)) + 1
    sizes = [
        math.ceil(brackets / (bracket + 1) * FACTOR ** (bracket - halving))
        for bracket in range(brackets)
        for halving in range(bracket + 1)
    ]
    return sum(sizes)


class _InMemory:
    """Keeps an oracle off the disk, where a kill in the middle of a file would lose it."""

    def save(self) -> None:
        pass

    def _save_trial(self, trial: Trial) -> None:
        pass


class _Random(_InMemory, RandomSearchOracle):
    pass


class _Bayesian(_InMemory, BayesianOptimizationOracle):
    pass


class _Hyperband(_InMemory, HyperbandOracle):
    pass

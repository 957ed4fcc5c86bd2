"""Metrics by scikit-learn of examples that come in blocks, in any order: each block is summed up, and sums are added.

So a worker that has seen any number of examples holds no more than the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# Of so many decisions (examples times classes), scores are kept as they are; of more, they are counted in bins.
EXACT_DECISIONS = 2**20
# The bins of a class have steps of their own in each octave of the odds, from 2**-24, where float32 ends, to 2**24.
_OCTAVES = 24
_STEPS, _LEAST_STEPS, _BINS_HELD = 256, 8, 2**22


# As Keras: probabilities below count as this.
_SMALLEST = 1e-7


@dataclass(frozen=True)
class Answered:
    """What is true of a block of examples, and what a model answered.

    Plain arrays, and nothing of `evaluation.predictions`: a mistake there must not be one here.

    Attributes:
        actual: bool [examples, classes], which classes each example has.
        probabilities: float [examples, classes].
        said: bool [examples, classes], which classes the model says that each example has.
        one_label: Whether each example has exactly one class.
    """

    actual: np.ndarray
    probabilities: np.ndarray
    said: np.ndarray
    one_label: bool

    def __len__(self) -> int:
        return len(self.actual)

    def clipped(self) -> np.ndarray:
        """float64 [examples, classes], probabilities of which none is 0 or 1."""
        return self.probabilities.astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)


@dataclass(frozen=True)
class Reference:
    """A metric by scikit-learn.

    Attributes:
        sums: Takes what was `Answered` in a block; returns what adds up over blocks, by `+`.
        value: Takes the sums of all blocks; returns the metric.
    """

    sums: Callable[[Answered], Any]
    value: Callable[[Any], float]

    def __call__(self, answered: Answered) -> float:
        """Returns the metric of examples that are there at once."""
        return self.value(self.sums(answered))


def mean_of_examples(measure: Callable[[Answered], float]) -> Reference:
    """The reference of a metric that is a mean over examples; `measure` takes what was answered."""
    return Reference(
        lambda answered: np.array([measure(answered) * len(answered), len(answered)]),
        lambda sums: float(sums[0] / sums[1]),
    )


def mean_of_classes(measure: Callable[..., float], needs_both: bool) -> Reference:
    """The reference of a metric of how a class's scores rank its examples: the mean over classes.

    Args:
        measure: scikit-learn's, which takes whether examples are of the class, their scores, and `sample_weight`.
        needs_both: Whether a class that all examples have is left out, as one is that none has.
    """

    def value(scores: Scores) -> float:
        found = [
            measure(actual, scored, sample_weight=weights)
            for actual, scored, weights in scores.of_classes()
            if actual.any() and not (needs_both and actual.all())
        ]
        return float(np.mean(found)) if found else float("nan")

    return Reference(lambda answered: Scores.of(answered.actual, answered.probabilities), value)


@dataclass(frozen=True)
class Scores:
    """How many examples of each class, and of the rest, have a score: exact, or in bins once there are very many.

    A bin is as wide as its share of the odds p / (1 - p), so that sure scores are told apart as well as unsure ones:
    0.3 % for up to 170 classes, and more for more, so that memory is bounded.

    Attributes:
        actual: bool [examples, classes]; empty once there are bins.
        scores: float32 [examples, classes], those of `actual`.
        counts: int [2, classes, bins], the rest and the class; None before.
    """

    actual: np.ndarray
    scores: np.ndarray
    counts: np.ndarray | None = None

    @classmethod
    def of(cls, actual: np.ndarray, scores: np.ndarray) -> Scores:
        """Takes a block, both [examples, classes]."""
        return cls(actual, scores.astype(np.float32))._bounded()

    def __add__(self, other: Scores) -> Scores:
        if self.counts is None and other.counts is None:
            both = (self.actual, other.actual), (self.scores, other.scores)
            return Scores(*map(np.concatenate, both))._bounded()
        return self._binned(self._counted() + other._counted())

    def of_classes(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Returns of each class what scikit-learn takes: whether it is there, the score, and how many there are."""
        if self.counts is None:
            columns = zip(self.actual.T, self.scores.T, strict=True)
            return [(actual, scores, np.ones(len(actual))) for actual, scores in columns]
        bins = np.arange(self.counts.shape[2])
        found = []
        for rest, present in self.counts.transpose(1, 0, 2):
            seen = [np.flatnonzero(rest), np.flatnonzero(present)]
            actual = np.repeat([False, True], [len(part) for part in seen])
            found.append((actual, bins[np.concatenate(seen)], np.concatenate([rest[seen[0]], present[seen[1]]])))
        return found

    def _bounded(self) -> Scores:
        return self if self.actual.size <= EXACT_DECISIONS else self._binned(self._counted())

    def _binned(self, counts: np.ndarray) -> Scores:
        return Scores(self.actual[:0], self.scores[:0], counts)

    def _counted(self) -> np.ndarray:
        if self.counts is not None:
            return self.counts
        classes = self.actual.shape[1]
        steps = min(_STEPS, max(_LEAST_STEPS, _BINS_HELD // (2 * classes * 2 * _OCTAVES)))
        bins = 2 * _OCTAVES * steps + 1
        inside = self.scores.astype(np.float64).clip(2.0**-_OCTAVES, 1 - 2.0**-_OCTAVES)
        octaves = np.log2(inside / (1 - inside)) + _OCTAVES
        places = np.rint(octaves * steps).astype(np.int64).clip(0, bins - 1)
        cells = (self.actual * classes + np.arange(classes)) * bins + places
        return np.bincount(cells.ravel(), minlength=2 * classes * bins).reshape(2, classes, bins)

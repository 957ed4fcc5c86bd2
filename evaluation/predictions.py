"""What a model said about examples, and sums over them as they are or weighted many times at once.

A row of weights says how often each example counts. A row of ones gives a metric itself; rows drawn at random give its
bootstrap replicates (see `evaluation.intervals`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import spmatrix

# The tasks by name, as in the config's `task`.
SINGLE_LABEL, MULTI_LABEL, DETECTION, SEGMENTATION = "single_label", "multi_label", "detection", "segmentation"
# As Keras: probabilities below do not make the loss infinite.
SMALLEST_PROBABILITY = 1e-7


class Predictions(ABC):
    """What one model said about some examples: which classes each has, and which it is said to have.

    Attributes:
        probabilities: float [examples, classes] in [0, 1].
        actual: bool [examples, classes], which classes each example has.
        said: bool [examples, classes], which classes the model says that each example has.
        groups: [examples], which group each example is of, such as a patient; None where each stands for itself.
        remembered: bool [examples], what the champion is to know; None where there is no champion.
    """

    probabilities: np.ndarray
    actual: np.ndarray
    said: np.ndarray
    groups: np.ndarray | None
    remembered: np.ndarray | None

    def __len__(self) -> int:
        return len(self.probabilities)

    @abstractmethod
    def __getitem__(self, chosen: np.ndarray | slice) -> Predictions:
        """Returns the predictions of some examples, chosen by a mask or by indices."""

    def of_groups(self, groups: np.ndarray) -> Predictions:
        """Returns these predictions of examples that are of groups, [examples]."""
        return replace(self, groups=groups)  # type: ignore[type-var]  # whoever implements this is a dataclass

    def of_memory(self, remembered: np.ndarray) -> Predictions:
        """Returns these predictions with what the champion is to know, bool [examples]."""
        return replace(self, remembered=remembered)  # type: ignore[type-var]  # the same

    def at_costs(self, costs: np.ndarray) -> Predictions:
        """Returns these predictions where mistakes have costs, float [classes, classes]; of one label an example."""
        return replace(self, costs=costs)  # type: ignore[type-var]  # the same

    def of_ranks(self, ranks: np.ndarray) -> Predictions:
        """Returns these predictions with where the counterpart of each side stands; of one label an example."""
        return replace(self, ranks=ranks)  # type: ignore[type-var]  # the same

    @property
    def classes(self) -> int:
        """The number of columns."""
        return self.probabilities.shape[1]

    @property
    @abstractmethod
    def losses(self) -> np.ndarray:
        """float [examples]: the loss of each example that training makes small."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities, float [examples, k], and whether what they stand for is so, bool [examples, k]."""

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [examples]: whether exactly the right classes are said."""
        return (self.actual == self.said).all(axis=1)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """int [examples]: how many classes are missed or wrongly said."""
        return (self.actual != self.said).sum(axis=1)

    def counts(self, weights: np.ndarray, columns: Sequence[int] | None = None) -> Counts:
        """Counts examples per class, for some columns or all; weights are float [replicates, examples]."""
        chosen = slice(None) if columns is None else list(columns)
        return Counts(*(sums(weights, members[chosen]) for members in self._members))

    @cached_property
    def _members(self) -> tuple[spmatrix, spmatrix, spmatrix]:
        return by_column(self.actual & self.said), by_column(self.actual), by_column(self.said)


@dataclass(frozen=True)
class SingleLabel(Predictions):
    """Predictions where each example has exactly one class, and one is said.

    Attributes:
        labels: int [examples], the column of each example's class.
        probabilities: float [examples, classes], rows add up to 1.
        costs: float [classes, classes], of what is true (row) and what is said; None where nobody said.
        served: bool [examples, classes], the class that the model says; None where it is the most probable one.
        ranks: int [examples, 2], as `evaluation.retrieval` has them; None where the model has no vectors of both sides.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray | None = None
    costs: np.ndarray | None = None
    served: np.ndarray | None = None
    remembered: np.ndarray | None = None
    ranks: np.ndarray | None = None

    def __getitem__(self, chosen: np.ndarray | slice) -> SingleLabel:
        kept = {name: part_of(getattr(self, name), chosen) for name in ("groups", "served", "remembered", "ranks")}
        return replace(self, labels=self.labels[chosen], probabilities=self.probabilities[chosen], **kept)

    @cached_property
    def actual(self) -> np.ndarray:  # type: ignore[override]  # computed when it is asked for; nobody sets it
        """bool [examples, classes], one in each row."""
        return _one_hot(self.labels, self.classes)

    @cached_property
    def said(self) -> np.ndarray:  # type: ignore[override]  # the same
        """bool [examples, classes], one in each row."""
        return _one_hot(self.predicted, self.classes)

    @cached_property
    def predicted(self) -> np.ndarray:
        """int [examples], the class that is said."""
        return (self.probabilities if self.served is None else self.served).argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [examples]."""
        return self.predicted == self.labels

    @cached_property
    def losses(self) -> np.ndarray:
        """float [examples], the negative logarithm of the true class's probability; as Keras computes it."""
        clipped = np.clip(self.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        return np.log(clipped.sum(axis=1)) - np.log(clipped[np.arange(len(self)), self.labels])

    @property
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """The probability of the most probable class and whether it is the true one, both [examples, 1]."""
        likeliest = self.probabilities.argmax(axis=1) == self.labels
        return self.probabilities.max(axis=1, keepdims=True), likeliest[:, np.newaxis]


class OfSeveralClasses(Predictions):
    """Predictions where an example may have several classes, each with a probability of its own."""

    @cached_property
    def losses(self) -> np.ndarray:
        """float [examples], the binary cross-entropy, mean over classes; as Keras computes it."""
        clipped = np.clip(self.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        return -np.log(np.where(self.actual, clipped, 1 - clipped)).mean(axis=1)

    @property
    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """The probability of each class and whether the example has it, both [examples, classes]."""
        return self.probabilities, self.actual


@dataclass(frozen=True)
class MultiLabel(OfSeveralClasses):
    """Predictions where each example has any number of classes, each of them said by a threshold of its own.

    Attributes:
        actual: bool [examples, classes].
        probabilities: float [examples, classes] in [0, 1], each for itself.
        said: bool [examples, classes], the probabilities that reach the thresholds of the model.
    """

    actual: np.ndarray
    probabilities: np.ndarray
    said: np.ndarray
    groups: np.ndarray | None = None
    remembered: np.ndarray | None = None

    def __getitem__(self, chosen: np.ndarray | slice) -> MultiLabel:
        groups, remembered = part_of(self.groups, chosen), part_of(self.remembered, chosen)
        return MultiLabel(self.actual[chosen], self.probabilities[chosen], self.said[chosen], groups, remembered)


@dataclass(frozen=True)
class Counts:
    """Weighted examples, float [replicates, classes]: `actual` have the class, `said` are said to, `hits` are both."""

    hits: np.ndarray
    actual: np.ndarray
    said: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """In [0, 1]; 0 where nothing was said."""
        return ratio(self.hits, self.said)

    @property
    def recall(self) -> np.ndarray:
        """In [0, 1]; 0 where there is nothing to find."""
        return ratio(self.hits, self.actual)

    @property
    def f1(self) -> np.ndarray:
        """In [0, 1]; 0 where nothing was said and there is nothing to find."""
        return ratio(2 * self.hits, self.actual + self.said)


def by_column(values: np.ndarray) -> spmatrix:
    """Values [examples, columns], mostly zeros, as a sparse matrix [columns, examples]."""
    # A second to load, which a check of a config has no use for.
    from scipy.sparse import csr_matrix

    return csr_matrix(values.T, dtype=np.float64)


def sums(weights: np.ndarray, values: spmatrix) -> np.ndarray:
    """Sums values, as `by_column` gives them, over examples weighted [replicates, examples]: [replicates, columns]."""
    return (values @ weights.T).T


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means of values [examples] over weighted examples: float [replicates]."""
    return weights @ values / weights.sum(axis=1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, and 0 where that would divide by 0."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def part_of(values: np.ndarray | None, chosen: np.ndarray | slice) -> np.ndarray | None:
    """The values of some examples, where there are any."""
    return None if values is None else values[chosen]


def _one_hot(columns: np.ndarray, classes: int) -> np.ndarray:
    return columns[:, np.newaxis] == np.arange(classes)

"""How a metric gets its intervals: a share's, DeLong's, the bootstrap's, or that of a calibration error.

docs/gates.md says which is used where, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evaluation import intervals
from evaluation.intervals import Interval
from evaluation.predictions import Predictions

if TYPE_CHECKING:
    from evaluation.metrics.metric import Metric

# The bootstrap draws the same examples each time, so that the same predictions have the same intervals.
SEED = 1


class IntervalMethod(Protocol):
    """Makes intervals of a metric; `of_class` is a column, or None over all classes."""

    def value(self, metric: Metric, predictions: Predictions, confidence: float, of_class: int | None) -> Interval:
        """Returns the interval of one model's metric."""
        ...

    def change(
        self,
        metric: Metric,
        candidate: Predictions,
        other: Predictions,
        compare: str,
        confidence: float,
        of_class: int | None,
    ) -> Interval:
        """Returns the interval of the `difference` or `ratio` of two models' metrics on the same examples."""
        ...


@dataclass(frozen=True)
class Bootstrap:
    """The percentile bootstrap, for whatever has no formula. Both models of a change see the same resamples."""

    def value(self, metric: Metric, predictions: Predictions, confidence: float, of_class: int | None) -> Interval:
        """Returns the middle part of the replicates.

        Where all of them are the same, however few examples there are, as when all examples are right, the value is
        taken for a share of its bounds.
        """
        drawn = intervals.bootstrap(
            len(predictions), SEED, lambda weights: metric.replicates(predictions, weights, of_class)
        )
        found = intervals.percentile(metric.value(predictions, of_class), drawn, confidence)
        if found.low < found.high or not math.isfinite(metric.bounds[1]):
            return found
        examples = len(predictions) if of_class is None else int(predictions.actual[:, of_class].sum())
        return share_of_bounds(metric, found.low, examples, confidence)

    def values(self, metric: Metric, predictions: Predictions, confidence: float) -> list[Interval]:
        """Returns the interval of every class, all of them from the same resamples."""
        columns = range(predictions.classes)
        drawn = intervals.bootstrap(
            len(predictions), SEED, lambda weights: metric.per_class(predictions, weights, columns)
        )
        return [drawn]

    def change(
        self,
        metric: Metric,
        candidate: Predictions,
        other: Predictions,
        compare: str,
        confidence: float,
        of_class: int | None,
    ) -> Interval:
        """Returns the middle part of the replicates of the difference or the ratio."""

        def change(weights: np.ndarray) -> np.ndarray:
            first, second = (metric.replicates(model, weights, of_class) for model in (candidate, other))
            if compare == "difference":
                return first - second
            return np.divide(first, second, out=np.full_like(first, np.nan), where=second > 0)

        drawn = intervals.bootstrap(len(candidate), SEED, change)
        value = float(change(np.ones((1, len(candidate))))[0])
        return intervals.percentile(value, drawn, confidence)

"""How a metric gets its intervals: a share's, DeLong's, the bootstrap's, or that of a calibration error.

docs/gates.md says which is used where, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from evaluation import intervals
from evaluation.metrics.metric import Columns, Metric, Pair
from evaluation.predictions import Predictions
from finetune.artifacts.findings import Interval

# The bootstrap draws the same examples each time, so that the same predictions have the same intervals.
SEED = 1


@dataclass(frozen=True)
class Bootstrap:
    """The percentile bootstrap, for whatever has no formula; both models of a change see the same resamples."""

    name: ClassVar[str] = "bootstrap"

    def values(self, metric: Metric, predictions: Predictions, confidence: float, columns: Columns) -> list[Interval]:
        """Returns the middle part of the replicates.

        Where all of them are the same, however few examples there are, as when all examples are right, a value with two
        bounds is taken for a share of what lies between them.
        """
        values = metric.replicates(predictions, np.ones((1, len(predictions))), columns)[0]
        drawn = intervals.bootstrap(
            len(predictions),
            SEED,
            lambda part: partial(metric.replicates, predictions[part], columns=columns),
            groups=predictions.groups,
        )
        return [
            _named(self._value(metric, float(value), of_column, count, confidence), predictions)
            for value, of_column, count in zip(values, drawn.T, _units(predictions, columns), strict=True)
        ]

    def _value(self, metric: Metric, value: float, drawn: np.ndarray, examples: int, confidence: float) -> Interval:
        if math.isnan(value):
            return _unknown(metric.bounds, confidence)
        found = intervals.percentile(value, drawn, confidence)
        low, high = metric.bounds
        if found.low < found.high or not math.isfinite(low) or not math.isfinite(high):
            return found
        share = _share((value - low) / (high - low) * examples, examples, confidence)
        return Interval(low + share.low * (high - low), low + share.high * (high - low), confidence, share.method)

    def change(self, metric: Metric, models: Pair, compare: str, confidence: float, column: int | None) -> Interval:
        """Returns the middle part of the replicates of the difference or the ratio."""
        columns = None if column is None else [column]

        def change(part: np.ndarray | slice) -> Callable[[np.ndarray], np.ndarray]:
            parts = [model[part] for model in models]

            def of_weights(weights: np.ndarray) -> np.ndarray:
                first, second = (metric.replicates(model, weights, columns)[:, 0] for model in parts)
                if compare == "difference":
                    return first - second
                return np.divide(first, second, out=np.full_like(first, np.nan), where=second > 0)

            return of_weights

        examples = len(models[0])
        drawn = intervals.bootstrap(examples, SEED, change, groups=models[0].groups)
        value = float(change(slice(None))(np.ones((1, examples)))[0])
        return _named(intervals.percentile(value, drawn, confidence), models[0])


@dataclass(frozen=True)
class Share(Bootstrap):
    """Wilson's interval of a share of examples, and Newcombe's of a difference where both models have the same ones.

    Attributes:
        hits: Takes predictions and a column; returns which examples count, bool [examples].
        judged: The same; returns of which examples the hits are a share.
    """

    name: ClassVar[str] = "Wilson; paired: Newcombe"

    hits: Callable[[Any, Any], np.ndarray]
    judged: Callable[[Any, Any], np.ndarray]

    def overall(self, predictions: Predictions, weights: np.ndarray) -> np.ndarray:
        """Returns the share itself over all classes, as `Metric.overall`: NaN where nothing is judged."""
        judged = self.judged(predictions, None)
        total, right = weights @ judged, weights @ (self.hits(predictions, None) & judged)
        return np.divide(right, total, out=np.full(len(weights), np.nan), where=total > 0)

    def values(self, metric: Metric, predictions: Predictions, confidence: float, columns: Columns) -> list[Interval]:
        """Returns Wilson's intervals; the bootstrap's where examples come in groups."""
        if predictions.groups is not None:
            return super().values(metric, predictions, confidence, columns)
        return [
            _share(int((self.hits(predictions, column) & judged).sum()), int(judged.sum()), confidence)
            for column in ([None] if columns is None else columns)
            for judged in [self.judged(predictions, column)]
        ]

    def change(self, metric: Metric, models: Pair, compare: str, confidence: float, column: int | None) -> Interval:
        """Returns Newcombe's interval; the bootstrap's for a ratio, for groups, or where models have other examples."""
        judged, judged_of_other = (self.judged(model, column) for model in models)
        single = compare == "difference" and models[0].groups is None
        if single and judged.any() and (judged == judged_of_other).all():
            first, second = (self.hits(model, column)[judged] for model in models)
            return intervals.paired_shares(first, second, confidence)
        return super().change(metric, models, compare, confidence, column)


def share_of_examples(hits: Callable[[Any], np.ndarray]) -> Share:
    """The method of a share of all examples; `hits` takes predictions and returns which count, bool [examples]."""
    return Share(lambda predictions, _: hits(predictions), lambda predictions, _: np.ones(len(predictions), dtype=bool))


@dataclass(frozen=True)
class DeLong:
    """The normal interval of a value that knows how much each example moves it.

    Attributes:
        influence: Takes predictions and a column; returns float [examples], of mean 0, so that the variance of the
            value is the sum of their squares over the squared number of examples.
    """

    name: ClassVar[str] = "DeLong"

    influence: Callable[[Any, int | None], np.ndarray]

    def values(self, metric: Metric, predictions: Predictions, confidence: float, columns: Columns) -> list[Interval]:
        """Returns the intervals within the metric's bounds; Wilson's where the value is the largest there can be.

        DeLong's variance is that of single examples: of groups, it is the bootstrap that knows.
        """
        if predictions.groups is not None:
            return Bootstrap().values(metric, predictions, confidence, columns)
        return [self._value(metric, predictions, confidence, c) for c in ([None] if columns is None else columns)]

    def _value(self, metric: Metric, predictions: Predictions, confidence: float, column: int | None) -> Interval:
        value = metric.value(predictions, column)
        if math.isnan(value):
            return _unknown(metric.bounds, confidence)
        found = intervals.normal(value, self.influence(predictions, column), confidence, "DeLong")
        if found.low == found.high:
            return _share(value * len(predictions), len(predictions), confidence)
        return _within(found, metric.bounds)

    def change(self, metric: Metric, models: Pair, compare: str, confidence: float, column: int | None) -> Interval:
        """Returns the interval of the difference, or of the ratio by that of its logarithm; of groups as above."""
        if models[0].groups is not None:
            return Bootstrap().change(metric, models, compare, confidence, column)
        one, two = (metric.value(model, column) for model in models)
        moves = [self.influence(model, column) for model in models]
        if compare == "difference":
            return intervals.normal(one - two, moves[0] - moves[1], confidence, "DeLong, paired")
        found = intervals.normal(math.log(one / two), moves[0] / one - moves[1] / two, confidence, "DeLong, paired")
        return replace(found, low=math.exp(found.low), high=math.exp(found.high))


@dataclass(frozen=True)
class CalibrationNoise(Bootstrap):
    """The interval of a sum of absolute gaps, to which noise within a bin can only add.

    The upper end is the basic bootstrap's. The lower one takes off all the noise that resampling finds: by the triangle
    inequality, measured and true error differ by at most the summed noise of the bins. It is 0 for a calibrated model.

    Attributes:
        gaps: Takes predictions and weights; returns float [replicates, bins].
    """

    name: ClassVar[str] = "bootstrap, less the noise"

    gaps: Callable[[Any, np.ndarray], np.ndarray]

    def values(self, metric: Metric, predictions: Predictions, confidence: float, columns: Columns) -> list[Interval]:
        """Returns the interval, over all classes."""
        value = metric.value(predictions)
        examples = len(predictions)

        def noise_of(part: np.ndarray | slice) -> Callable[[np.ndarray], np.ndarray]:
            found = predictions[part]
            observed = self.gaps(found, np.ones((1, len(found))))
            return lambda weights: np.abs(self.gaps(found, weights) - observed).sum(axis=1)

        drawn, noise = (
            intervals.bootstrap(examples, SEED, statistic, groups=predictions.groups)
            for statistic in (lambda part: partial(metric.replicates, predictions[part]), noise_of)
        )
        found = _named(intervals.mirrored(value, drawn[:, 0], confidence), predictions)
        return [_within(replace(found, low=value - float(np.quantile(noise, (1 + confidence) / 2))), metric.bounds)]


def _units(predictions: Predictions, columns: Columns) -> list[int]:
    """How many examples, or groups of them, there are in all, or of each class."""
    members = [slice(None)] if columns is None else list(predictions.actual[:, list(columns)].T)
    who = np.arange(len(predictions)) if predictions.groups is None else predictions.groups
    return [len(np.unique(who[of_column])) for of_column in members]


def _named(interval: Interval, predictions: Predictions) -> Interval:
    """The interval with a method that says whether groups were drawn."""
    return interval if predictions.groups is None else replace(interval, method=f"{interval.method}, of groups")


def _share(hits: float, examples: int, confidence: float) -> Interval:
    if not examples:
        return _unknown((0.0, 1.0), confidence)
    return intervals.wilson(hits, examples, confidence)


def _unknown(bounds: tuple[float, float], confidence: float) -> Interval:
    return Interval(*bounds, confidence, "nothing is known of no examples")


def _within(interval: Interval, bounds: tuple[float, float]) -> Interval:
    return replace(interval, low=max(interval.low, bounds[0]), high=min(interval.high, bounds[1]))

"""What a metric is: one object that the config's check, gates, intervals, TFMA, report and docs all read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from evaluation.metrics.references import Reference
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, Predictions, mean
from finetune.artifacts.findings import Interval

# Those of examples that have labels.
OF_LABELS = (SINGLE_LABEL, MULTI_LABEL)
# Classes, or None for the metric over all of them.
Columns = Sequence[int] | None
# The candidate's predictions, and those that they are compared with.
Pair = tuple[Any, Any]
# What `Metric.overall` and `Metric.per_class` describe.
Overall = Callable[[Any, np.ndarray], np.ndarray]
PerClass = Callable[[Any, np.ndarray, Sequence[int]], np.ndarray]


def mean_of(values: Callable[[Any], np.ndarray]) -> Overall:
    """Makes the computation of a metric that is a mean over examples; `values` takes predictions, and gives them."""
    return lambda predictions, weights: mean(weights, values(predictions))


def mean_over_classes(per_class: PerClass) -> Overall:
    """Makes the mean of a metric over those classes for which it is defined; NaN where it is for none."""

    def overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
        values = per_class(predictions, weights, range(predictions.classes))
        defined = ~np.isnan(values)
        total, count = np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1)
        return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)

    return overall


class IntervalMethod(Protocol):
    """Makes intervals of a metric."""

    @property
    def name(self) -> str:
        """What the method is called."""
        ...

    def values(self, metric: Metric, predictions: Any, confidence: float, columns: Columns) -> list[Interval]:
        """Returns the intervals of one model's metric, one for each column."""
        ...

    def change(self, metric: Metric, models: Pair, compare: str, confidence: float, column: int | None) -> Interval:
        """Returns the interval of the `difference` or `ratio` of two models' metrics on the same examples."""
        ...


@dataclass(frozen=True)
class TfmaMetric:
    """A metric of TFMA's own that equals ours: its class in TFMA or Keras, made with its name and `config`."""

    class_name: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One metric.

    It is measured on the test split where it has an `overall` computation, of one class (with `of_class`) where it has
    a computation `per_class`, and on the exported model where it has neither.

    Attributes:
        name: As in the config and the summary.
        label: As people write it.
        meaning: What it is, as a clause, with its source.
        higher_is_better: Its direction.
        tasks: The tasks that it is for.
        overall: Takes predictions of n examples and weights float [replicates, n], each row not all zero; returns
            float [replicates], NaN where it is undefined. The scale of a row does not matter.
        per_class: Takes a list of columns besides; returns float [replicates, columns].
        bounds: The least and the largest value there can be.
        interval: How its intervals are made; None where it is not measured on examples.
        undefined: Where it is undefined, to follow "it is undefined".
        advice: What to try when a gate on it fails; empty where that depends on the gate.
        tfma: The metric of TFMA by which its Evaluator measures the same; None where it has none.
        reference: The same by scikit-learn, for the Evaluator where TFMA has no such metric.
        unit: Of its values; empty for a pure number.
        slow: Whether a replicate takes every example of every class in turn, so that a bootstrap of many takes minutes.
        at: Makes the same metric where another value in (0, 1) is held, as a gate's `at` says; None where none is.
    """

    name: str
    label: str
    meaning: str
    higher_is_better: bool
    tasks: tuple[str, ...] = OF_LABELS
    overall: Overall | None = None
    per_class: PerClass | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    interval: IntervalMethod | None = None
    undefined: str = "on these examples"
    advice: str = ""
    tfma: TfmaMetric | None = None
    reference: Reference | None = None
    unit: str = ""
    slow: bool = False
    at: Callable[[float], Metric] | None = None

    @property
    def of_model(self) -> bool:
        """Whether it is a fact about the exported model, and not about predictions."""
        return self.overall is None and self.per_class is None

    def replicates(self, predictions: Predictions, weights: np.ndarray, columns: Columns = None) -> np.ndarray:
        """Returns the metric for each row of weights: float [replicates, 1], or [replicates, columns] of classes.

        Args:
            predictions: Of n examples, at least one.
            weights: float [replicates, n], each row not all zero.
            columns: Classes, for the metric of each; None for the metric over all of them.
        """
        if columns is None:
            assert self.overall is not None, f"{self.name} is measured of one class"
            return self.overall(predictions, weights)[:, np.newaxis]
        assert self.per_class is not None, f"{self.name} is not measured of one class"
        return self.per_class(predictions, weights, columns)

    def value(self, predictions: Predictions, of_class: int | None = None) -> float:
        """Returns the metric of the examples as they are, or of one class; NaN where it is undefined."""
        columns = None if of_class is None else [of_class]
        return float(self.replicates(predictions, np.ones((1, len(predictions))), columns)[0, 0])

    def class_values(self, predictions: Predictions) -> list[float]:
        """Returns the metric of every class."""
        every = range(predictions.classes)
        return self.replicates(predictions, np.ones((1, len(predictions))), every)[0].tolist()

    def better(self, first: float, second: float) -> bool:
        """Whether the first of two values is the better one; a value that is not a number is worse than any."""
        if math.isnan(first) or math.isnan(second):
            return not math.isnan(first)
        return first > second if self.higher_is_better else first < second

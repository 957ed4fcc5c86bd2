"""Precision, recall and F1 of one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, Share
from evaluation.metrics.metric import Metric
from evaluation.predictions import Predictions


def _actual(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.actual[:, of_class]


def _said(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.said[:, of_class]


def _precision(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    return predictions.counts(weights, columns).precision


def _recall(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    return predictions.counts(weights, columns).recall


def _f1(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    return predictions.counts(weights, columns).f1


PRECISION = Metric(
    name="precision",
    label="precision",
    meaning="share of what is said to be of the class that is; 0 where nothing is",
    higher_is_better=True,
    per_class=_precision,
    interval=Share(hits=_actual, judged=_said),
)
RECALL = Metric(
    name="recall",
    label="recall",
    meaning="share of the class's examples that are said to be of it; 0 where there are none",
    higher_is_better=True,
    per_class=_recall,
    interval=Share(hits=_said, judged=_actual),
)
F1 = Metric(
    name="f1",
    label="F1",
    meaning="harmonic mean of precision and recall; 0 where the class is neither there nor said",
    higher_is_better=True,
    per_class=_f1,
    interval=Bootstrap(),
)

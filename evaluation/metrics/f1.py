"""Precision, recall and F1 of one class, and F1 over classes: each the same, by its examples, or by decision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, Share
from evaluation.metrics.metric import Metric
from evaluation.predictions import MULTI_LABEL, MultiLabel, Predictions, ratio


def _macro(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    # As scikit-learn: classes that are neither there nor said have no say.
    seen = counts.actual + counts.said > 0
    return ratio((counts.f1 * seen).sum(axis=1), seen.sum(axis=1).astype(np.float64))


def _weighted(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    return ratio((counts.f1 * counts.actual).sum(axis=1), counts.actual.sum(axis=1))


def _micro(predictions: MultiLabel, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    return ratio(2 * counts.hits.sum(axis=1), counts.actual.sum(axis=1) + counts.said.sum(axis=1))


def _by_sklearn(average: str) -> Callable[[Predictions], float]:
    def reference(predictions: Predictions) -> float:
        from sklearn.metrics import f1_score

        seen = (predictions.actual | predictions.said).any(axis=0)
        if not seen.any():
            return 0.0
        actual, said = predictions.actual[:, seen], predictions.said[:, seen]
        return float(f1_score(actual, said, average=average, zero_division=0.0))

    return reference


def _actual(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.actual[:, of_class]


def _said(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.said[:, of_class]


MACRO_F1 = Metric(
    name="macro_f1",
    label="macro F1",
    meaning="mean of F1 over the classes that are there or are said, each the same; scikit-learn's `f1_score`",
    higher_is_better=True,
    overall=_macro,
    interval=Bootstrap(),
    reference=_by_sklearn("macro"),
)
WEIGHTED_F1 = Metric(
    name="weighted_f1",
    label="weighted F1",
    meaning="mean of F1 over classes, each by its examples; scikit-learn's `f1_score`",
    higher_is_better=True,
    overall=_weighted,
    interval=Bootstrap(),
    reference=_by_sklearn("weighted"),
)
MICRO_F1 = Metric(
    name="micro_f1",
    label="micro F1",
    meaning="F1 of all decisions together, whatever their label; scikit-learn's `f1_score`",
    higher_is_better=True,
    tasks=(MULTI_LABEL,),
    overall=_micro,
    interval=Bootstrap(),
    reference=_by_sklearn("micro"),
)
PRECISION = Metric(
    name="precision",
    label="precision",
    meaning="share of what is said to be of the class that is; 0 where nothing is",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).precision,
    interval=Share(hits=_actual, judged=_said),
)
RECALL = Metric(
    name="recall",
    label="recall",
    meaning="share of the class's examples that are said to be of it; 0 where there are none",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).recall,
    interval=Share(hits=_said, judged=_actual),
)
F1 = Metric(
    name="f1",
    label="F1",
    meaning="harmonic mean of precision and recall; 0 where the class is neither there nor said",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).f1,
    interval=Bootstrap(),
)

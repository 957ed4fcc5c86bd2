"""Accuracy: the share of examples that are answered right."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Share
from evaluation.metrics.metric import Metric, TfmaMetric
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, MultiLabel, Predictions, mean


def _overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return mean(weights, predictions.correct)


def _exact_match_by_sklearn(predictions: MultiLabel) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(predictions.actual, predictions.said))


def _every(predictions: Predictions, of_class: int | None) -> np.ndarray:
    return np.ones(len(predictions), dtype=bool)


_INTERVAL = Share(hits=lambda predictions, of_class: predictions.correct, judged=_every)

ACCURACY = Metric(
    name="accuracy",
    label="accuracy",
    meaning="share of examples whose most probable class is the true one",
    higher_is_better=True,
    tasks=(SINGLE_LABEL,),
    overall=_overall,
    interval=_INTERVAL,
    tfma=TfmaMetric("SparseCategoricalAccuracy"),
)
EXACT_MATCH = Metric(
    name="exact_match",
    label="exact match",
    meaning="share of examples of which exactly the right labels are said; also called subset accuracy",
    higher_is_better=True,
    tasks=(MULTI_LABEL,),
    overall=_overall,
    interval=_INTERVAL,
    reference=_exact_match_by_sklearn,
)

"""The loss that training makes small, on the test split."""

from __future__ import annotations

import math

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.predictions import SMALLEST_PROBABILITY, MultiLabel, Predictions, SingleLabel, mean


def _overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return mean(weights, predictions.losses)


def _by_sklearn(predictions: SingleLabel | MultiLabel) -> float:
    from sklearn.metrics import log_loss

    inside = predictions.probabilities.astype(np.float64).clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    if isinstance(predictions, SingleLabel):
        inside /= inside.sum(axis=1, keepdims=True)
        return float(log_loss(predictions.labels, inside, labels=np.arange(predictions.classes)))
    return float(log_loss(predictions.actual.ravel(), inside.ravel(), labels=[False, True]))


LOSS = Metric(
    name="loss",
    label="loss",
    meaning="cross-entropy; with several labels an example, the mean of each label's own. Probabilities below 1e-7 "
    "count as 1e-7",
    higher_is_better=False,
    overall=_overall,
    bounds=(0.0, math.inf),
    interval=Bootstrap(),
    advice="label smoothing, fewer epochs or a stronger penalty: a few very sure mistakes can make most of the loss",
    reference=_by_sklearn,
)

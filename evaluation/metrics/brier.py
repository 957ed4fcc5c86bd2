"""The Brier score."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.predictions import SINGLE_LABEL, SingleLabel, mean


def _overall(predictions: SingleLabel, weights: np.ndarray) -> np.ndarray:
    distance = predictions.probabilities.astype(np.float64) - predictions.actual
    return mean(weights, (distance**2).sum(axis=1))


def _by_sklearn(predictions: SingleLabel) -> float:
    from sklearn.metrics import mean_squared_error

    return float(predictions.classes * mean_squared_error(predictions.actual, predictions.probabilities))


BRIER = Metric(
    name="brier",
    label="Brier score",
    meaning="squared distance of the probabilities to the truth, summed over classes, 0 to 2 (Brier 1950, "
    '"Verification of forecasts expressed in terms of probability", formula 2)',
    higher_is_better=False,
    tasks=(SINGLE_LABEL,),
    overall=_overall,
    bounds=(0.0, 2.0),
    interval=Bootstrap(),
    advice="more or cleaner data where it errs, and label smoothing or fewer epochs where it is too sure",
    reference=_by_sklearn,
)

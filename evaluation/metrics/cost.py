"""What mistakes cost, where some are dearer than others."""

from __future__ import annotations

import math

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.predictions import SINGLE_LABEL, SingleLabel, mean


def _mean_cost(predictions: SingleLabel, weights: np.ndarray) -> np.ndarray:
    if predictions.costs is None:
        return np.full(len(weights), np.nan)
    return mean(weights, predictions.costs[predictions.labels, predictions.predicted])


EXPECTED_COST = Metric(
    name="expected_cost",
    label="expected cost",
    meaning='mean cost of what is said of an example, by `evaluation.costs` (Elkan 2001, "The foundations of '
    'cost-sensitive learning", section 1): what is right costs nothing, and a mistake that is not listed costs 1',
    higher_is_better=False,
    tasks=(SINGLE_LABEL,),
    overall=_mean_cost,
    bounds=(0.0, math.inf),
    interval=Bootstrap(),
    undefined="where evaluation.costs says nothing",
    advice="give the classes whose mistakes are dear a weight under training.class_weights",
)

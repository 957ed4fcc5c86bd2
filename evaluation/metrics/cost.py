"""What mistakes cost, where some are dearer than others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.predictions import SINGLE_LABEL, SingleLabel, mean
from finetune.errors import DataError, did_you_mean


def cost_matrix(costs: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> np.ndarray:
    """Returns float [classes, classes], what it costs to say the class of a column of an example of that of a row.

    Args:
        costs: As `evaluation.costs` has them.
        classes: In the order wanted.

    Raises:
        DataError: It names a class that there is not.
    """
    places = {name: place for place, name in enumerate(classes)}
    matrix = 1.0 - np.eye(len(classes))
    for actual, of_said in costs.items():
        for said, cost in of_said.items():
            for key, name in ((f"evaluation.costs.{actual}", actual), (f"evaluation.costs.{actual}.{said}", said)):
                if name not in places:
                    there = ", ".join(classes[:20])
                    raise DataError(
                        f"{key}: there is no class {name!r}; there are {there}.{did_you_mean(name, classes)}"
                    )
            matrix[places[actual], places[said]] = cost
    return matrix


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
    advice="choose evaluation.threshold by `expected_cost`, or give the classes whose mistakes are dear a weight under "
    "training.class_weights",
)

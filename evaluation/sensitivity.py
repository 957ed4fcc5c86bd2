"""How much of the differences between trials one key explains by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Trials a group of neighbouring values; fewer say little of its mean.
LEAST_IN_A_GROUP = 4
MOST_GROUPS = 5


def main_effect(values: Sequence[Any], scores: Sequence[float], ordered: bool) -> float | None:
    """Returns the share of the variance of scores that one key explains, whatever the other keys have.

    It is the correlation ratio, in its form without the bias of few trials (epsilon squared, Kelley 1935, "An unbiased
    correlation ratio measure"), between scores and groups of trials with near values: an estimate of the first-order
    index of Sobol' (Saltelli et al. 2008, "Global sensitivity analysis", section 1.2.8). Scores go by their ranks, so
    that a few trials that failed to learn do not hide the others.

    Args:
        values: Of the key in each trial, hashable.
        scores: Of the trials, all finite.
        ordered: Whether values are numbers, which are put in groups of equal size.

    Returns:
        In [0, 1]; None where there are too few trials, or all have the same score or value.
    """
    if ordered:
        count = min(MOST_GROUPS, len(values) // LEAST_IN_A_GROUP)
        if count < 2:
            return None
        groups = _ranks(np.asarray(values, np.float64)) * count // len(values)
    else:
        known = list(dict.fromkeys(values))
        groups = np.array([known.index(value) for value in values])
    ranks = _ranks(np.asarray(scores, np.float64))
    kinds, total = np.unique(groups), float(((ranks - ranks.mean()) ** 2).sum())
    if len(kinds) < 2 or len(ranks) <= len(kinds) or not total:
        return None
    within = sum(float(((part - part.mean()) ** 2).sum()) for part in (ranks[groups == kind] for kind in kinds))
    unexplained = within / (len(ranks) - len(kinds)) * (len(ranks) - 1) / total
    return max(0.0, 1.0 - unexplained)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns the rank of each value from 0, equal ones at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles: np.ndarray = np.cumsum(counts) - (counts + 1) / 2
    return middles[place.ravel()]

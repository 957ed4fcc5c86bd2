"""What metrics of a ranking share: examples in the order of their scores, those with equal scores together."""

from __future__ import annotations

import numpy as np


def tied_groups(actual: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights of positives and of negatives by score, the largest score first.

    Args:
        actual: bool [examples].
        scores: float [examples].
        weights: float [replicates, examples].

    Returns:
        Positives and negatives, both float [replicates, different scores].
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.append(True, scores[order][1:] != scores[order][:-1]))
    ordered, positive = weights[:, order], actual[order]
    positives = np.add.reduceat(ordered * positive, starts, axis=1)
    return positives, np.add.reduceat(ordered, starts, axis=1) - positives


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Means over classes of values [replicates, classes] that are numbers; NaN where none is."""
    defined = ~np.isnan(values)
    total, count = np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)

"""What the largest of many values may be if all are of one kind."""

from __future__ import annotations

import numpy as np

# Quantiles that tell the deviation above the median; the larger of both is taken, as tails may be heavier than normal.
_QUANTILES = 0.9, 0.975


def middle_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Returns the median, and the deviation of a normal distribution with the values' tail above it.

    A fortieth of the values being of another kind moves neither far.

    Args:
        values: float [examples], at least one.
    """
    from scipy.stats import norm

    middle, *high = np.quantile(values, [0.5, *_QUANTILES])
    return float(middle), float(max((np.array(high) - middle) / norm.ppf(_QUANTILES)))


def highest_by_chance(values: np.ndarray, level: float) -> float:
    """Returns what any of the values exceeds with a probability of at most `level` if all are of one kind.

    They are taken to be normal above the median. The level holds for all of them together (Bonferroni), and a tenth of
    it is used: beyond the quantiles, that leaves room for a tail that is heavier.

    Args:
        values: float [examples].
        level: Between 0 and 1.

    Returns:
        Infinity where nothing varies.
    """
    from scipy.stats import norm

    if not len(values):
        return np.inf
    middle, deviation = middle_and_deviation(values)
    return middle + float(norm.isf(level / 10 / len(values))) * deviation if deviation > 0 else np.inf

"""Confidence intervals of metrics and of differences between two models on the same examples.

Shares have intervals of their own; everything else is bootstrapped. docs/gates.md says which is used where, and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from finetune.artifacts.findings import Interval

REPLICATES = 2000
# Of random weights held at a time; a row has a number for each example.
_WEIGHTS_HELD = 4_000_000


# The most examples that are all drawn from; of more, so many subsets of so many.
WHOLE, SUBSETS, SUBSET = 20_000, 10, 10_000

Statistic = Callable[[np.ndarray | slice], Callable[[np.ndarray], np.ndarray]]


def wilson(hits: float, examples: float, confidence: float) -> Interval:
    """Interval of a share: of at least one example, how many count; neither need be a whole number.

    Wilson 1927, recommended for all sample sizes by Brown, Cai and DasGupta 2001, "Interval estimation for a binomial
    proportion", section 5.
    """
    low, high = wilson_ends(np.array(hits), examples, confidence)
    return Interval(min(float(low), hits / examples), max(float(high), hits / examples), confidence, "Wilson")


def wilson_ends(hits: np.ndarray, examples: float | np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the interval of each of many shares, arrays of the shape of `hits`."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / examples
    spread = z / (1 + z * z / examples) * np.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2)
    centre = (share + z * z / (2 * examples)) / (1 + z * z / examples)
    return np.maximum(centre - spread, 0.0), np.minimum(centre + spread, 1.0)


def design_effect(hits: np.ndarray, groups: np.ndarray) -> float:
    """By how much larger the variance of a share is because its examples come in groups; at least 1.

    A share whose number of examples is divided by it may be treated as one of independent examples (Rao and Scott 1992,
    "A simple method for the analysis of clustered binary data"). Where all or none count, nothing is known of how alike
    groups are, and a group is taken for one example.

    Args:
        hits: bool [examples], which of them count; at least one example.
        groups: str [examples], the group of each; empty for an example that is none of a group.
    """
    alone, named = groups == "", np.unique(groups, return_inverse=True)[1].ravel()
    number = np.unique(np.where(alone, -1 - np.arange(len(groups)), named), return_inverse=True)[1].ravel()
    sizes, of_group = np.bincount(number), np.bincount(number, hits)
    count, share = len(sizes), hits.mean()
    if share * (1 - share) == 0 or count == 1:
        return len(hits) / count
    residuals = of_group - share * sizes
    variance = count / (count - 1) * float((residuals**2).sum()) / len(hits) ** 2
    return max(1.0, variance * len(hits) / (share * (1 - share)))


def paired_shares(first: np.ndarray, second: np.ndarray, confidence: float) -> Interval:
    """Interval of the difference of two shares of the same examples, such as the accuracies of two models.

    `first` and `second` are bool [examples], and the difference is the share of the first minus that of the second.
    """
    table = np.array(
        [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]
    )
    low, high = paired_ends(table, confidence)
    return Interval(float(low), float(high), confidence, "Newcombe, paired")


def paired_ends(tables: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the interval of each of many differences of two shares of the same examples.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10: Wilson's intervals of both, put together with the correlation between them.

    Args:
        tables: int [4, ...], examples that count for both, for the first alone, for the second alone, for neither.
        confidence: Of the intervals.

    Returns:
        Low and high ends, float [...].
    """
    both, only_first, only_second, neither = tables.astype(np.float64)
    total = both + only_first + only_second + neither
    ones, twos = both + only_first, both + only_second
    low_one, high_one = wilson_ends(ones, total, confidence)
    low_two, high_two = wilson_ends(twos, total, confidence)
    product = ones * (total - ones) * twos * (total - twos)
    excess = both * neither - only_first * only_second
    # Newcombe's continuity correction, for positive correlations only.
    excess = np.where(excess > 0, np.maximum(excess - total / 2, 0.0), excess)
    correlation = np.divide(excess, np.sqrt(product), out=np.zeros_like(product), where=product > 0)
    share_one, share_two = ones / total, twos / total
    difference = share_one - share_two
    below_one, above_one = share_one - low_one, high_one - share_one
    below_two, above_two = share_two - low_two, high_two - share_two
    down = np.sqrt(np.maximum(below_one**2 - 2 * correlation * below_one * above_two + above_two**2, 0.0))
    up = np.sqrt(np.maximum(above_one**2 - 2 * correlation * above_one * below_two + below_two**2, 0.0))
    return difference - down, difference + up


def normal(value: float, influence: np.ndarray, confidence: float, method: str) -> Interval:
    """Interval of a value whose variance is the sum of its examples' squared influences over their squared number."""
    spread = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(float((influence**2).sum())) / len(influence)
    return Interval(value - spread, value + spread, confidence, method)


def percentile(value: float, replicates: np.ndarray, confidence: float) -> Interval:
    """The middle part of the bootstrap replicates (Efron and Tibshirani 1993, chapter 13)."""
    low, high = _middle(replicates, confidence)
    return Interval(min(low, value), max(high, value), confidence, "bootstrap, percentile")


def mirrored(value: float, replicates: np.ndarray, confidence: float) -> Interval:
    """The middle part of the replicates, mirrored at the value (the basic bootstrap, Davison and Hinkley 1997, 5.2).

    For metrics that resampling pushes to one side, as it does the calibration error: noise within a bin can only add
    to it. Mirrored, the interval is pushed to the other side by as much.
    """
    low, high = _middle(replicates, confidence)
    return Interval(min(2 * value - high, value), max(2 * value - low, value), confidence, "bootstrap, basic")


def _middle(replicates: np.ndarray, confidence: float) -> tuple[float, float]:
    """Returns both ends of the middle part of those replicates that are defined; nan where none is."""
    if np.isnan(replicates).all():
        return math.nan, math.nan
    low, high = np.nanquantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap(
    examples: int, seed: int, statistic: Statistic, count: int = REPLICATES, groups: np.ndarray | None = None
) -> np.ndarray:
    """Computes a statistic of examples drawn again and again with replacement.

    Examples of one patient are alike, and many of them tell less than as many of others would. With `groups`, whole
    groups are drawn in place of examples (the cluster bootstrap, Davison and Hinkley 1997, 3.8, strategy 1).

    Of more than WHOLE to draw from, SUBSETS random subsets of SUBSET each stand for all of them: as many as there are
    in all are drawn from one, and what comes out is moved by what the subset itself is off. That is the bag of little
    bootstraps (Kleiner, Talwalkar, Sarkar and Jordan 2014, "A scalable bootstrap for massive data"): the time that
    drawing takes does not grow with the number of examples.

    Args:
        examples: How many there are to draw from, and how many are drawn each time.
        seed: The same seed draws the same examples.
        statistic: Takes which examples to look at, and returns a function that takes weights [some, of those], how
            often each was drawn, and returns [some, ...].
        count: Replicates.
        groups: [examples], which group each is of; None draws single examples.

    Returns:
        [count, ...].
    """
    random = np.random.default_rng(seed)
    unit_of = np.arange(examples) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(unit_of.max()) + 1
    if units <= WHOLE:
        of_weights = statistic(slice(None))
        return np.concatenate([of_weights(weights) for weights in _drawn(unit_of, units, units, count, random)])
    value = statistic(slice(None))(np.ones((1, examples)))
    found = []
    for _ in range(SUBSETS):
        chosen = np.sort(random.choice(units, SUBSET, replace=False))
        part = chosen if groups is None else np.flatnonzero(np.isin(unit_of, chosen))
        of_weights = statistic(part)
        off = of_weights(np.ones((1, len(part)))) - value
        within = np.searchsorted(chosen, unit_of[part])
        found += [of_weights(weights) - off for weights in _drawn(within, SUBSET, units, count // SUBSETS, random)]
    return np.concatenate(found)


def _drawn(
    unit_of: np.ndarray, units: int, draws: int, count: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields how often each example was drawn, [some, examples]: as often as its unit."""
    rows = max(1, _WEIGHTS_HELD // len(unit_of))
    for start in range(0, count, rows):
        size = min(rows, count - start)
        if draws > units:
            drawn = random.multinomial(draws, np.full(units, 1 / units), size)
        else:
            places = random.integers(0, units, (size, draws)) + units * np.arange(size)[:, np.newaxis]
            drawn = np.bincount(places.ravel(), minlength=size * units).reshape(size, units)
        yield (drawn if units == len(unit_of) else drawn[:, unit_of]).astype(np.float64)

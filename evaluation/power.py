"""What a test split can show: the smallest difference that a gate finds, and how many more labels would decide.

A difference counts as found where the gate's interval lies beyond the bound, at the gate's own confidence, in POWER of
all test splits of this size (Cohen 1988, "Statistical power analysis for the behavioral sciences", chapter 1). For
shares of examples, alone or paired, the gate itself is played on drawn tables, so that it holds for few examples too;
for everything else, of which the interval is all that is known, half of its width tells the standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evaluation.intervals import paired_ends, wilson_ends
from finetune.artifacts.findings import Interval, Power

POWER = 0.8
# Standard error of a simulated power of 0.8: one percent. The seed gives the same split the same answer.
DRAWS, SEED = 1600, 1
# A better candidate may gain more than it no longer loses: of exact matches of four labels, models that are better by a
# difference differ by a quarter of it more often (benchmarks.power).
MORE_APART = 0.25
# A bisection of differences up to 1 is then exact to 0.0003.
HALVINGS = 12


@dataclass(frozen=True)
class Share:
    """How many of `examples` count."""

    hits: int
    examples: int

    def mirrored(self) -> Share:
        """Those that do not count."""
        return Share(self.examples - self.hits, self.examples)


@dataclass(frozen=True)
class PairedShares:
    """Of two models on the same examples: how many count for both, for one alone, for neither."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.both + self.only_first + self.only_second + self.neither

    def mirrored(self) -> PairedShares:
        """The same with the models in the other order."""
        return PairedShares(self.both, self.only_second, self.only_first, self.neither)


Counted = Share | PairedShares


def power_of(
    value: float, bound: float, interval: Interval, examples: int, above: bool, counted: Counted | None
) -> Power:
    """Tells what a test split could have shown of a gate.

    Args:
        value: What was measured: a metric, or a difference or ratio of two.
        bound: What it is held against.
        interval: Of the value.
        examples: It was measured on, at least one.
        above: Whether the gate looks for values above the bound, and not below.
        counted: The examples behind a share, or behind the difference of two; None of other metrics.

    Returns:
        The least distance from the bound that is found in POWER of all test splits like this one. `more_labels` is 0
        where the interval leaves out the bound already; else how many more labelled examples make the measured
        distance one that is found, taking noise to shrink with the root of the examples; None where there is no
        distance to find.
    """
    smallest: float | None = _of_interval(interval)
    if counted is not None:
        sided, limit = (counted, bound) if above else (counted.mirrored(), _mirrored_bound(counted, bound))
        smallest = _of_counts(sided, limit, interval.confidence)
    distance = abs(value - bound)
    if not interval.low <= bound <= interval.high:
        return Power(smallest=smallest, more_labels=0)
    if smallest is None or distance == 0:
        return Power(smallest=smallest, more_labels=None)
    return Power(smallest=smallest, more_labels=max(math.ceil(examples * (smallest / distance) ** 2) - examples, 1))


def _of_interval(interval: Interval) -> float:
    """The classical sum of both quantiles times the standard error."""
    decides = NormalDist().inv_cdf(0.5 + interval.confidence / 2)
    return (interval.high - interval.low) / 2 * (1 + NormalDist().inv_cdf(POWER) / decides)


def _mirrored_bound(counted: Counted, bound: float) -> float:
    return 1 - bound if isinstance(counted, Share) else -bound


def _of_counts(counted: Counted, bound: float, confidence: float) -> float | None:
    found = _found_share if isinstance(counted, Share) else _found_difference
    return found(counted, bound, confidence)  # type: ignore[arg-type]


def _found_share(counted: Share, bound: float, confidence: float) -> float | None:
    """How far above the bound a true share is found: exactly, by the least number of hits that proves it."""
    hits = np.arange(counted.examples + 1)
    proves = wilson_ends(hits, counted.examples, confidence)[0] >= bound
    if not proves.any():
        return None
    # P(at least h of n hits) is the regularised beta function of the share.
    from scipy.stats import beta

    least = int(proves.argmax())
    share = float(beta.ppf(POWER, least, counted.examples - least + 1)) if least else bound
    return max(share - bound, 0.0)


def _found_difference(counted: PairedShares, bound: float, confidence: float) -> float | None:
    """How far above the bound a true difference is found, of models that differ about as often as these."""

    def is_found(difference: float) -> bool:
        tables = np.random.default_rng(SEED).multinomial(counted.examples, with_difference(counted, difference), DRAWS)
        return bool((paired_ends(tables.T, confidence)[0] >= bound).mean() >= POWER)

    return _least(is_found, bound)


def with_difference(counted: PairedShares, difference: float) -> np.ndarray:
    """The shares of a world with this difference, float [4]: both, only the first, only the second, neither.

    The models differ as often as in the table and by MORE_APART of the difference besides, or as often as the
    difference needs; what they agree on is parted as in the table.
    """
    as_often = (counted.only_first + counted.only_second) / counted.examples
    apart = min(max(as_often + MORE_APART * abs(difference), abs(difference)), 1.0)
    agree = counted.both + counted.neither
    right = counted.both / agree if agree else 0.5
    only_first, only_second = (apart + difference) / 2, (apart - difference) / 2
    shares = np.array([(1 - apart) * right, only_first, only_second, (1 - apart) * (1 - right)])
    shares = np.clip(shares, 0, 1)
    return shares / shares.sum()


def _least(is_found: Callable[[float], bool], bound: float) -> float | None:
    """The least distance above the bound that is found, up to a difference of 1; None where not even that one is."""
    missed, found = bound, 1.0
    if bound >= 1 or not is_found(found):
        return None
    for _ in range(HALVINGS):
        middle = (missed + found) / 2
        missed, found = (missed, middle) if is_found(middle) else (middle, found)
    return found - bound

"""Whether new examples have the labels of those before, in the same shares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import wilson
from finetune.artifacts.findings import Interval

DRAWS = 9_999
Labels = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class LabelShift:
    """What the test says.

    Attributes:
        p_value: Of no shift; one of 1 / 10,000, 2 / 10,000 ... 1.
        level: As it was asked for.
        label: The class whose share differs most, in standard deviations.
        before, now: Its shares.
        change: Interval of the difference of the two.
    """

    p_value: float
    level: float
    label: str
    before: float
    now: float
    change: Interval

    @property
    def differ(self) -> bool:
        """Whether the shares differ at the level."""
        return self.p_value <= self.level


def label_shift(before: Labels, now: Labels, level: float, seed: int = 0) -> LabelShift:
    """Tests whether labels could be those of one set of examples, divided at random.

    The statistic is the sum over classes of the squared difference of shares over its variance; its distribution is
    that of permutations, which of equal sets of labels are draws from a multivariate hypergeometric distribution. An
    example may have several labels.

    Args:
        before: Labels of each example; at least one example.
        now: Of each of the others; at least one.
        level: How often sets without a difference may be told apart.
        seed: Of the draws.
    """
    counts = Counter(before), Counter(now)
    kinds = sorted(counts[0] | counts[1])
    classes = sorted({name for kind in kinds for name in kind})
    has = np.array([[name in kind for name in classes] for kind in kinds], dtype=np.float64)
    observed = np.array([[count[kind] for kind in kinds] for count in counts])
    draws = np.random.default_rng(seed).multivariate_hypergeometric(observed.sum(axis=0), len(now), DRAWS)
    shares = has.T @ observed.sum(axis=0) / (len(before) + len(now))
    variance = np.where(shares * (1 - shares) > 0, shares * (1 - shares), np.inf)
    of_draws = ((draws @ has / len(now) - shares) ** 2 / variance).sum(axis=1)
    each = (observed[1] @ has / len(now) - shares) ** 2 / variance
    # Sums of floats in another order differ in their last digits.
    beyond = int((of_draws >= each.sum() * (1 - 1e-9)).sum())
    most = int(each.argmax())
    hits = [int(of_set @ has[:, most]) for of_set in observed]
    change = difference((hits[1], len(now)), (hits[0], len(before)), 0.95)
    before_share, now_share = hits[0] / len(before), hits[1] / len(now)
    return LabelShift((1 + beyond) / (DRAWS + 1), level, classes[most], before_share, now_share, change)


def difference(first: tuple[int, int], second: tuple[int, int], confidence: float) -> Interval:
    """Interval of the difference of two shares of different examples, the first minus the second.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10: Wilson's
    intervals of both, put together.

    Args:
        first: How many count, of how many; at least one.
        second: The same of the others.
        confidence: Of the interval.
    """
    (one, two), (share_one, share_two) = (
        [wilson(*share, confidence) for share in (first, second)],
        [hits / examples for hits, examples in (first, second)],
    )
    value = share_one - share_two
    down = math.hypot(share_one - one.low, two.high - share_two)
    up = math.hypot(one.high - share_one, share_two - two.low)
    return Interval(value - down, value + up, confidence, "Newcombe, independent")

"""Whether new examples have the labels of those before, in the same shares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.data_checks.two_sample import units_of
from evaluation.intervals import design_effect, wilson
from finetune.artifacts.findings import Interval

DRAWS = 9_999
# Draws that are in memory together.
_AT_ONCE = 500
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


def label_shift(
    before: Labels,
    now: Labels,
    level: float,
    seed: int = 0,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> LabelShift:
    """Tests whether labels could be those of one set of examples, divided at random.

    The statistic is the sum over classes of the squared difference of shares over its variance; its distribution is
    that of permutations, which of equal sets of labels are draws from a multivariate hypergeometric distribution. An
    example may have several labels. With groups, these are permuted as a whole.

    Args:
        before: Labels of each example; at least one example.
        now: Of each of the others; at least one.
        level: How often sets without a difference may be told apart.
        seed: Of the draws.
        groups: str, of each example of both sets the group that it was drawn with, such as a patient, empty for one
            without. None stands for no groups.
    """
    counts = Counter(before), Counter(now)
    kinds = sorted(counts[0] | counts[1])
    classes = sorted({name for kind in kinds for name in kind})
    has = np.array([[name in kind for name in classes] for kind in kinds], dtype=np.float64)
    observed = np.array([[count[kind] for kind in kinds] for count in counts])
    shares = has.T @ observed.sum(axis=0) / (len(before) + len(now))
    variance = np.where(shares * (1 - shares) > 0, shares * (1 - shares), np.inf)
    random = np.random.default_rng(seed)
    place = {kind: number for number, kind in enumerate(kinds)}
    of_each = [has[[place[kind] for kind in labels]] for labels in (before, now)]
    if groups is None:
        drawn = random.multivariate_hypergeometric(observed.sum(axis=0), len(now), DRAWS) @ has / len(now)
    else:
        drawn = _shares_of_groups(of_each, groups, random)
    of_draws = ((drawn - shares) ** 2 / variance).sum(axis=1)
    each = (observed[1] @ has / len(now) - shares) ** 2 / variance
    # Sums of floats in another order differ in their last digits.
    beyond = int((of_draws >= each.sum() * (1 - 1e-9)).sum())
    most = int(each.argmax())
    hits = [of_set[:, most] > 0 for of_set in of_each]
    effects = [1.0, 1.0] if groups is None else [design_effect(*one) for one in zip(hits, groups, strict=True)]
    first, second = ((one.sum() / effect, len(one) / effect) for one, effect in zip(hits, effects, strict=True))
    change = difference(second, first, 0.95)
    before_share, now_share = (float(one.mean()) for one in hits)
    return LabelShift((1 + beyond) / (DRAWS + 1), level, classes[most], before_share, now_share, change)


def _shares_of_groups(
    of_each: Sequence[np.ndarray], groups: tuple[np.ndarray, np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """Returns the shares of classes in the second set where groups change sides at random, [DRAWS, classes].

    `of_each` are 0 or 1 [examples, classes], of the examples of both sets.
    """
    side = np.repeat([0, 1], [len(each) for each in of_each])
    units = units_of(np.concatenate(groups), side)
    sums = np.zeros((units.max() + 1, of_each[0].shape[1] + 1))
    np.add.at(sums, units, np.column_stack([np.concatenate(of_each), np.ones(len(side))]))
    seconds = np.zeros(len(sums))
    seconds[units] = side
    found = [
        random.permuted(np.tile(seconds, (min(_AT_ONCE, DRAWS - start), 1)), axis=1) @ sums
        for start in range(0, DRAWS, _AT_ONCE)
    ]
    counted = np.concatenate(found)
    return counted[:, :-1] / counted[:, -1:]


def difference(first: tuple[float, float], second: tuple[float, float], confidence: float) -> Interval:
    """Interval of the difference of two shares of different examples, the first minus the second.

    Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10: Wilson's
    intervals of both, put together.

    Args:
        first: How many count, of how many; at least one. Of groups, both divided by the design effect.
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

"""Whether columns hold the same shares of each value as they did before, from counts alone.

The distance is what TensorFlow Data Validation's drift comparator measures of categorical features: the L-infinity
norm, the largest difference of any value's shares. What chance makes of it depends on how many examples there are, for
which that comparator has no bound; here it is that of two parts of one set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# By name of the column, how often each value is there.
Counts = Mapping[str, Mapping[str, int]]

# As many draws lie beyond the bound, or about, of those that are made.
_BEYOND = 10
_MOST_DRAWS = 20_000
# Cells of numbers that are in memory together.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class ColumnDrift:
    """What the test says of one column.

    Attributes:
        column: Its name.
        distance: Largest difference of any value's shares, from 0 to 1.
        bound: What it exceeds by chance with a probability of at most the level, all columns together.
        value: The one whose shares differ most.
        before, now: Its shares.
    """

    column: str
    distance: float
    bound: float
    value: str
    before: float
    now: float

    @property
    def differs(self) -> bool:
        """Whether the column has changed at the level."""
        return self.distance > self.bound

    @property
    def sentence(self) -> str:
        """Says it in a clause."""
        return (
            f"{self.column}: {self.value!r} went from {self.before:.1%} to {self.now:.1%}, where chance changes no "
            f"value by more than {self.bound:.1%}"
        )


def column_drifts(before: Counts, now: Counts, level: float, seed: int = 0) -> list[ColumnDrift]:
    """Tests each column that both have, and that has values in both, against no change.

    What chance gives is drawn: both counts are put together, and divided at random (a permutation test; the counts are
    then multivariate hypergeometric). Where values stand together in one example, as several labels do, that makes the
    bound a little wide; where examples come in groups that are alike, too narrow.

    Args:
        before: Counts to compare with.
        now: Counts of today.
        level: How often any of the columns may be said to have changed when none has.
        seed: Of the draws.

    Returns:
        Of each column, that which is farthest beyond its bound first.
    """
    random = np.random.default_rng(seed)
    names = [name for name in now if now[name].values() and name in before and before[name].values()]
    found = []
    for name in names:
        values = sorted({*before[name], *now[name]})
        counts = np.array([[each[name].get(value, 0) for value in values] for each in (before, now)])
        totals = counts.sum(axis=1)
        if not totals.all():
            continue
        shares = counts / totals[:, np.newaxis]
        apart = np.abs(shares[1] - shares[0])
        most = int(apart.argmax())
        bound = _by_chance(counts, level / len(names), random)
        found.append(ColumnDrift(name, float(apart[most]), bound, values[most], *map(float, shares[:, most])))
    return sorted(found, key=lambda each: each.bound - each.distance)


def _by_chance(counts: np.ndarray, level: float, random: np.random.Generator) -> float:
    """Returns the distance that so large a share of divisions at random exceeds.

    Args:
        counts: int [2, values].
        level: The share; what fewer than one of _MOST_DRAWS exceeds, none is taken to.
        random: Draws them.
    """
    both, (first, second) = counts.sum(axis=0), counts.sum(axis=1)
    draws = min(math.ceil(_BEYOND / level), _MOST_DRAWS)
    distances = np.empty(draws)
    step = max(_BLOCK // len(both), 1)
    for begin in range(0, draws, step):
        size = min(step, draws - begin)
        drawn = random.multivariate_hypergeometric(both, first, size, method="marginals")
        distances[begin : begin + size] = np.abs(drawn / first - (both - drawn) / second).max(axis=1)
    beyond = max(math.floor(level * (draws + 1)), 1)
    return float(np.sort(distances)[-beyond])

"""The classifier two-sample test: whether two sets of examples come from the same source.

A classifier learns to tell them apart, and is judged on examples that it has not seen (Lopez-Paz and Oquab 2017,
"Revisiting classifier two-sample tests"). Here it is a ridge regression, judged by the area under the ROC curve, which
does not mind that one set is larger. The p-value is that of a permutation test: exact for any number of examples, and
cheap, as the ridge regressions of all permutations share their matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOLDS = 5
PERMUTATIONS = 999
# Penalty on the squared weights as a share of the number of examples: directions have variance 1.
_PENALTY = 0.1
# Below so many in one of the sets, there is nothing to fit.
FEWEST = 2 * FOLDS


@dataclass(frozen=True)
class TwoSample:
    """What the test says.

    Attributes:
        auc: Held-out area under the ROC curve: 0.5 where nothing tells the sets apart, 1 where everything does.
        bound: What `auc` exceeds by chance with a probability of at most `level`.
        p_value: Of no difference; one of 1 / 1000, 2 / 1000 ... 1.
        level: As it was asked for.
        telling: int [examples of the second set], their numbers in it, those least like the first set first.
    """

    auc: float
    bound: float
    p_value: float
    level: float
    telling: np.ndarray

    @property
    def differ(self) -> bool:
        """Whether the sets differ at the level."""
        return self.auc > self.bound

    @property
    def sentence(self) -> str:
        """Says it in a clause."""
        return f"area under the ROC curve {self.auc:.3f}, by chance at most {self.bound:.3f}, p = {self.p_value:.3f}"


def two_sample_test(
    first: np.ndarray,
    second: np.ndarray,
    level: float,
    seed: int = 0,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> TwoSample:
    """Tests whether two sets of examples could be one, divided at random.

    Args:
        first: float [examples, directions], of at least FEWEST examples.
        second: float [other examples, directions], of at least FEWEST.
        level: How often sets without a difference may be told apart; at least 0.001.
        seed: Of folds and permutations.
        groups: str, of each example of both sets the group that it was drawn with, such as a patient, empty for one
            without: a permutation moves groups as a whole. None stands for no groups.
    """
    random = np.random.default_rng(seed)
    side = np.repeat([0, 1], [len(first), len(second)])
    values = np.concatenate([first, second]).astype(np.float64)
    units = np.arange(len(side)) if groups is None else units_of(np.concatenate(groups), side)
    # Ranks of equal values follow the order of rows, which therefore must not follow the sets.
    order = random.permutation(len(side))
    values, side, units = values[order], side[order], units[order]
    sides = _permuted(side, units, random)
    scores = _held_out_scores(values, sides, units, random)
    found = _auc(scores, sides)
    by_chance = np.sort(found[1:])
    beyond = int(np.floor(level * (PERMUTATIONS + 1)))
    p_value = (1 + int((by_chance >= found[0]).sum())) / (PERMUTATIONS + 1)
    seconds = np.flatnonzero(side)
    telling = seconds[np.argsort(-scores[seconds, 0], kind="stable")]
    return TwoSample(
        auc=float(found[0]),
        bound=float(by_chance[-max(beyond, 1)]),
        p_value=p_value,
        level=level,
        telling=order[telling] - len(first),
    )


def units_of(groups: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Returns the number of what a permutation moves as a whole, int [examples], from 0.

    Args:
        groups: str, of each example the group that it was drawn with; empty for one that is a unit by itself.
        side: 0 or 1, the set of each. A group on both sides is two: what is permuted has a side.
    """
    named = np.unique(groups, return_inverse=True)[1].ravel() * 2 + side
    found: np.ndarray = np.unique(np.where(groups == "", -1 - np.arange(len(groups)), named), return_inverse=True)[1]
    return found.ravel()


def _permuted(side: np.ndarray, units: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the sides as they are and as they are permuted, float32 [examples, 1 + PERMUTATIONS]."""
    of_unit = np.zeros(units.max() + 1, np.float32)
    of_unit[units] = side
    columns = np.tile(of_unit[:, np.newaxis], (1, 1 + PERMUTATIONS))
    columns[:, 1:] = random.permuted(columns[:, 1:], axis=0)
    return columns[units]


def _held_out_scores(
    values: np.ndarray, sides: np.ndarray, units: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Returns how much each example looks like the second set to a fit without it, float32 [examples, columns].

    Folds do not depend on the sides, so that permutations are exchangeable with what was observed.
    """
    deviation = values.std(axis=0)
    values = ((values - values.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)).astype(np.float32)
    fold = (random.permutation(units.max() + 1) % FOLDS)[units]
    centred = sides - sides.mean(axis=0)
    scores = np.empty_like(sides)
    for number in range(FOLDS):
        held_out, fitted = fold == number, fold != number
        known = values[fitted]
        square = known.T @ known + _PENALTY * len(known) * np.eye(values.shape[1], dtype=np.float32)
        scores[held_out] = values[held_out] @ np.linalg.solve(square, known.T @ centred[fitted])
    return scores


def _auc(scores: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Returns the Mann-Whitney statistic of each column, as a share of all pairs."""
    order = np.argsort(scores, axis=0, kind="stable")
    ranks = np.arange(1, len(scores) + 1, dtype=np.float64)
    seconds = sides.sum(axis=0, dtype=np.float64)
    rank_sum = ranks @ np.take_along_axis(sides, order, axis=0)
    return (rank_sum - seconds * (seconds + 1) / 2) / np.maximum(seconds * (len(scores) - seconds), 1)

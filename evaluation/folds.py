"""Folds of examples: what is said of one by a fit that has seen neither it nor others of its group."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np


def kinds_of(labels: np.ndarray) -> np.ndarray:
    """Numbers what labels, [examples, ...], are alike in all they say, int [examples]."""
    return np.unique(labels.reshape(len(labels), -1), axis=0, return_inverse=True)[1].ravel()


def kinds_together(kinds: np.ndarray, seed: int) -> np.ndarray:
    """Returns the numbers of all examples, int [examples], those of a kind together, each kind shuffled by a seed."""
    shuffled = np.random.default_rng(seed).permutation(len(kinds))
    return shuffled[np.argsort(kinds[shuffled], kind="stable")]


def folds_of(kinds: np.ndarray, groups: Sequence[str], most: int, seed: int) -> np.ndarray:
    """Returns the fold of each example, int [examples], from 0: each kind is spread over all.

    Args:
        kinds: int [examples], such as `kinds_of` gives.
        groups: Of each example, what it shares with others, which are then in its fold; empty where nothing is known.
            Of one group alone, examples are parted.
        most: How many folds there are, where there are as many examples or groups; at least two.
        seed: Shuffles.
    """
    if len(set(groups)) > 1:
        return group_folds(kinds, np.array(groups), most, seed)
    found = np.empty(len(kinds), int)
    found[kinds_together(kinds, seed)] = np.arange(len(kinds)) % min(most, len(kinds))
    return found


def group_folds(kinds: np.ndarray, groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Returns the fold of each example, int [examples], from 0: a group is in one, and each kind is spread over all.

    Args:
        kinds: int [examples], such as the class.
        groups: [examples], what several examples share, such as a patient; at least two different ones.
        most: How many folds there are, where there are as many groups; at least two.
        seed: Shuffles.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names, numbers = np.unique(groups, return_inverse=True)
    folds = min(most, len(names))
    # Scikit-learn wants a kind that could be in each fold, and warns of others; its own shuffling loses the kinds.
    strata = kinds if np.unique(kinds, return_counts=True)[1].max() >= folds else np.zeros(len(kinds), int)
    shuffled = np.random.default_rng(seed).permutation(len(names))[numbers.ravel()]
    found = np.empty(len(kinds), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (_, held_out) in enumerate(StratifiedGroupKFold(folds).split(strata, strata, shuffled)):
            found[held_out] = number
    return found

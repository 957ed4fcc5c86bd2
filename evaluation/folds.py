"""Folds of examples in groups: what is said of an example by a fit that has seen neither it nor others of its group."""

from __future__ import annotations

import warnings

import numpy as np


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

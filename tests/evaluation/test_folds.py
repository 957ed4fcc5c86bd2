"""Folds that leave groups whole."""

from __future__ import annotations

import numpy as np

from evaluation.folds import folds_of, group_folds, kinds_of


def test_a_group_is_in_one_fold_and_each_kind_in_all():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 5)
    kinds = random.permutation(np.repeat([0, 1, 2], 20))[groups]
    folds = group_folds(kinds, groups, 5, seed=1)
    assert sorted(set(folds)) == list(range(5))
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    for kind in range(3):
        assert np.ptp(np.bincount(folds[kinds == kind], minlength=5)) <= 5, "a group more or less"
    assert np.array_equal(folds, group_folds(kinds, groups, 5, seed=1))
    assert not np.array_equal(folds, group_folds(kinds, groups, 5, seed=2))


def test_there_are_no_more_folds_than_groups_and_kinds_may_be_rare():
    assert set(group_folds(np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "b"]), 5, 1)) == {0, 1}
    lonely = group_folds(np.arange(20), np.arange(20) // 2, 5, 1)
    assert np.bincount(lonely).tolist() == [4] * 5


def test_what_belongs_together_shares_a_fold_and_kinds_are_spread_over_all():
    labels = np.array([[0, 1], [1, 0], [1, 1]])[np.arange(30) % 3]
    kinds = kinds_of(labels)
    assert len(set(kinds)) == 3
    assert (kinds[:27] == kinds[3:]).all()
    for groups in ([], ["one"] * 30):
        folds = folds_of(kinds, groups, 5, seed=1)
        assert all(sorted(kinds[folds == fold]) == [0, 0, 1, 1, 2, 2] for fold in range(5))
    assert folds_of(kinds, [], 5, seed=2).tolist() != folds.tolist()
    pairs = [f"patient {number // 2}" for number in range(30)]
    folds = folds_of(kinds, pairs, 5, seed=1)
    assert (folds[::2] == folds[1::2]).all()
    assert set(folds_of(kinds[:3], [], 5, seed=1)) == {0, 1, 2}

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.data_checks.outliers import NEIGHBOURS, neighbour_distances
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import _auc, two_sample_test


def test_the_statistic_is_the_area_under_the_curve() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(80, 3)).astype(np.float32)
    sides = (random.random((80, 3)) < 0.3).astype(np.float32)
    expected = [roc_auc_score(sides[:, column], scores[:, column]) for column in range(3)]
    assert _auc(scores, sides) == pytest.approx(expected)


def test_a_difference_is_found_and_the_examples_that_show_it_come_first() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(300, 8)), random.normal(size=(100, 8))
    second[60:, 2] += 3
    found = two_sample_test(first, second, level=0.01)
    assert found.differ
    assert found.p_value == 0.001
    assert np.mean(found.telling[:30] >= 60) > 0.8


def test_sets_without_a_difference_are_told_apart_as_often_as_the_level_says() -> None:
    random = np.random.default_rng(1)
    p_values = [
        two_sample_test(random.normal(size=(60, 4)), random.normal(size=(30, 4)), 0.05, seed).p_value
        for seed in range(60)
    ]
    # Uniform p-values: 12 of 60 are at most 0.2; 21 or more have a probability of less than 0.005.
    assert sum(p <= 0.2 for p in p_values) <= 20
    assert 0.3 < np.mean(p_values) < 0.7


def test_groups_are_permuted_as_a_whole() -> None:
    """Patients with many pictures each: any two sets of patients differ, and no more than patients do."""
    random = np.random.default_rng(2)
    patients = np.repeat(np.arange(24), 20)
    values = random.normal(size=(24, 6))[patients] + 0.3 * random.normal(size=(480, 6))
    of_second = patients >= 16
    sets = values[~of_second], values[of_second]
    names = patients.astype(str)
    groups = names[~of_second], names[of_second]
    assert two_sample_test(*sets, level=0.05).differ
    assert not two_sample_test(*sets, level=0.05, groups=groups).differ
    unknown = np.full(320, ""), np.full(160, "")
    alone = two_sample_test(*sets, level=0.05, groups=unknown)
    assert alone.auc == pytest.approx(two_sample_test(*sets, level=0.05).auc, abs=0.05)
    assert alone.differ, "examples of no group are no group"


def test_features_that_are_all_the_same_differ_in_nothing() -> None:
    directions = leading_directions(np.ones((60, 5)))
    found = two_sample_test(directions[:40], directions[40:], level=0.01)
    assert not found.differ


def test_directions_come_with_the_largest_variance_first_and_hold_distances() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 3)) @ random.normal(size=(3, 40)) + 5
    directions = leading_directions(features)
    assert directions.shape == (300, 3)
    assert (np.diff(directions.std(axis=0)) <= 0).all()
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = np.linalg.norm(scaled[0] - scaled[1:], axis=1)
    assert np.linalg.norm(directions[0] - directions[1:], axis=1) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("examples", [1, 2, NEIGHBOURS, 700])
def test_neighbours_are_those_of_scikit_learn(examples: int) -> None:
    from sklearn.neighbors import NearestNeighbors

    values = np.random.default_rng(0).normal(size=(examples, 6))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    neighbours = min(NEIGHBOURS, examples - 1)
    reference = NearestNeighbors(n_neighbors=neighbours + 1).fit(values).kneighbors(values)[0][:, -1]
    assert neighbour_distances(values) == pytest.approx(reference, abs=1e-3)


def test_of_very_many_others_some_stand_for_all(monkeypatch) -> None:
    values = np.random.default_rng(0).normal(size=(400, 6))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    of_all = neighbour_distances(values)
    monkeypatch.setattr("evaluation.data_checks.outliers.MOST_OTHERS", 200)
    of_some = neighbour_distances(values)
    assert (of_some >= of_all - 1e-6).all()
    assert of_some.mean() < 2 * of_all.mean()

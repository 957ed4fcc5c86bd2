"""Thresholds per label: against scikit-learn's F1 at every threshold there is, and what is stated of ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from evaluation.thresholds import best_thresholds


def f1_at(labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return f1_score(labels, probabilities >= thresholds, average=None, zero_division=0.0)


@pytest.mark.parametrize("decimals", [1, 6])
def test_no_other_threshold_gives_a_label_a_larger_f1(decimals):
    random = np.random.default_rng(3)
    labels = random.random((80, 6)) < np.linspace(0.05, 0.9, 6)
    probabilities = np.clip(0.4 * labels + random.random((80, 6)) * 0.6, 0, 1).round(decimals).astype(np.float32)
    found = best_thresholds(labels, probabilities)
    assert (found.dtype, found.shape) == (np.float32, (6,))
    reached = f1_at(labels, probabilities, found)
    for threshold in np.unique(np.append(probabilities, [0.0, 0.5, 1.0])):
        others = f1_at(labels, probabilities, np.full(6, threshold, np.float32))
        assert (reached >= others - 1e-12).all(), threshold


def test_a_threshold_lies_half_way_between_the_examples_it_parts():
    found = best_thresholds(np.array([[1], [1], [0]]), np.array([[0.9], [0.8], [0.4]]))
    assert found == pytest.approx(0.6)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    # At 0.85 one of two positives and nothing else: 2/3. At 0.15 both and two negatives: 2/3 as well.
    probabilities = np.array([[0.9], [0.8], [0.7], [0.3]])
    assert best_thresholds(np.array([[1], [0], [0], [1]]), probabilities) == pytest.approx(0.15)


def test_a_label_that_all_examples_have_is_always_predicted_and_one_that_none_has_waits_for_a_half():
    labels = np.array([[1, 0], [1, 0], [1, 0]])
    probabilities = np.array([[0.2, 0.7], [0.4, 0.1], [0.9, 0.2]])
    assert best_thresholds(labels, probabilities) == pytest.approx([0.1, 0.5])


def test_a_threshold_parts_neighbours_among_the_float32():
    below = np.float32(0.7)
    probabilities = np.array([[np.nextafter(below, np.float32(1))], [below]])
    found = best_thresholds(np.array([[1], [0]]), probabilities)
    assert (probabilities >= found).tolist() == [[True], [False]]


def test_probabilities_that_are_none_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        best_thresholds(np.ones((2, 1)), np.array([[0.5], [np.nan]]))
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(2, 2\)"):
        best_thresholds(np.ones((2, 1)), np.ones((2, 2)))

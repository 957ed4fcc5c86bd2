"""Scores and the choice of samples, against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.scores import choose_samples, score, score_labels


def test_scores_of_a_small_confusion():
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    result = score(labels, predicted, ["a", "b", "c"])
    assert result["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert result["accuracy"] == pytest.approx(3 / 6)
    # F1: a = 2*2/(3+3), b = 2*1/(2+3), c = 0.
    assert result["macro_f1"] == pytest.approx((4 / 6 + 2 / 5 + 0) / 3)
    assert [row["support"] for row in result["per_class"]] == [3, 2, 1]


def test_samples_are_the_most_confident_mistakes_and_a_spread_of_hits():
    correct = [True, False, True, False, True, True, False, True]
    confidence = [0.9, 0.3, 0.5, 0.8, 0.99, 0.6, 0.7, 0.4]
    assert choose_samples(correct, confidence, 4) == [3, 6, 4, 7]
    assert choose_samples([True] * 3, [0.5, 0.9, 0.7], 4) == [1, 2, 0]
    assert choose_samples([False] * 3, [0.5, 0.9, 0.7], 2) == [1, 2]
    assert choose_samples([], [], 4) == []


def test_labels_are_confused_where_one_is_missed_and_another_wrongly_said():
    actual = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=bool)
    said = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    result = score_labels(actual, said, ["a", "b", "c"])
    assert result["confusion"] == [[1, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert result["micro_f1"] == pytest.approx(2 * 2 / (5 + 5))

"""Pixels held against masks, beside scikit-learn's scores of the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from evaluation.evidence import CANDIDATE, TestSet
from evaluation.metrics import METRICS, metrics_of
from evaluation.segmentation import count_pixels, in_columns
from evaluation.tasks import TASKS

CLASSES = ["field", "flower", "leaf"]
VOID = 255


def pictures(count: int = 5, wrong: float = 0.2) -> list[tuple[np.ndarray, np.ndarray]]:
    """True masks with some void pixels, and masks of which a share is wrong."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(count):
        truth = random.integers(0, 3, (12, 9))
        said = np.where(random.random(truth.shape) < wrong, random.integers(0, 3, truth.shape), truth)
        truth[random.random(truth.shape) < 0.1] = VOID
        found.append((truth, said))
    return found


def predictions_of(masks: list[tuple[np.ndarray, np.ndarray]]):
    found = np.stack([count_pixels(truth, said, truth != VOID, 3) for truth, said in masks])
    labels = np.array([[[(truth == column).sum()] for column in range(3)] for truth, _ in masks])
    return TASKS["segmentation"].predictions(labels, np.full((len(masks), 3), 0.5), None, found)


def test_metrics_are_those_of_scikit_learn_over_all_pixels_but_void_ones():
    masks = pictures()
    truth = np.concatenate([truth[truth != VOID] for truth, _ in masks])
    said = np.concatenate([said[truth != VOID] for truth, said in masks])
    found = predictions_of(masks)
    assert METRICS["mean_iou"].value(found) == pytest.approx(jaccard_score(truth, said, average="macro"))
    assert METRICS["dice"].value(found) == pytest.approx(f1_score(truth, said, average="macro"))
    assert METRICS["pixel_accuracy"].value(found) == pytest.approx(accuracy_score(truth, said))
    of_each = jaccard_score(truth, said, average=None)
    assert METRICS["mean_iou"].class_values(found) == pytest.approx(of_each.tolist())


def test_a_class_that_nowhere_is_nor_is_said_is_left_out_of_the_mean():
    truth, said = np.array([[0, 0], [1, 1]]), np.array([[0, 0], [1, 0]])
    found = predictions_of([(truth, said)])
    assert METRICS["mean_iou"].value(found) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(METRICS["mean_iou"].value(found, 2))


def test_a_class_that_the_model_does_not_know_is_missed():
    truth = np.array([[0, -1], [-1, -1]])
    counts = count_pixels(truth, np.zeros((2, 2), int), np.ones((2, 2), bool), 2)
    assert counts.tolist() == [[1, 4], [0, 0]]
    moved = in_columns(counts[np.newaxis], ["field", "leaf"], CLASSES)
    assert moved[0].tolist() == [[1, 4], [0, 0], [0, 0]]


def test_a_picture_is_right_where_each_class_overlaps_by_half():
    right = np.zeros((4, 4), int)
    half = right.copy()
    half[:2] = 1
    found = predictions_of([(right, right), (half, right), (half, half)])
    assert found.correct.tolist() == [True, False, True]
    assert found.mistakes.tolist() == [0, 1, 0], "of two classes, one overlaps by exactly half"


def test_a_baseline_without_masks_says_its_likeliest_class_everywhere():
    labels = np.array([[[30], [10], [0]], [[0], [40], [0]]])
    probabilities = np.tile([0.9, 0.8, 0.1], (2, 1))
    test_set = TestSet(CLASSES, labels, {}, {CANDIDATE: probabilities}, task="segmentation")
    found = test_set.of(CANDIDATE)
    assert found.said.tolist() == [[True, False, False]] * 2
    assert METRICS["mean_iou"].class_values(found)[0] == pytest.approx(30 / 80)
    assert METRICS["pixel_accuracy"].value(found) == pytest.approx(30 / 80)


def test_segmentation_is_measured_by_metrics_of_its_own():
    assert set(metrics_of("segmentation")) == {"mean_iou", "dice", "pixel_accuracy"}

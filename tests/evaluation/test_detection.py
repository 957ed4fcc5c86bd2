"""Boxes against objects: which are hits, and average precision, beside pycocotools' own."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from evaluation.detection import ALL, AREAS, OVERLAPS, Detection, average_precisions, best_thresholds, renumbered
from evaluation.metrics import METRICS
from evaluation.tasks import TASKS

PICTURES, CLASSES = 24, 3


def made_up(noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 300 x 400 pixels with up to 8 objects of all sizes, one of ten a crowd; and boxes near them."""
    random = np.random.default_rng(seed)
    truth = np.full((PICTURES, 8, 8), -1.0)
    truth[..., 6:] = 300, 400
    found = np.full((PICTURES, 20, 7), -1.0)
    for picture in range(PICTURES):
        for place in range(random.integers(0, 9)):
            start, side = random.uniform(0, 0.6, 2), random.choice([0.05, 0.15, 0.4], 2)
            edges = np.concatenate([start, start + side])
            truth[picture, place, :6] = *edges, random.integers(CLASSES), random.random() < 0.1
            moved = edges + random.normal(0, noise, 4) * np.tile(side, 2)
            if random.random() < 0.9:
                found[picture, place] = *moved, truth[picture, place, 4], random.random(), random.random() < 0.7
        for place in range(8, 8 + random.integers(0, 6)):
            start = random.uniform(0, 0.8, 2)
            found[picture, place] = *start, *(start + 0.2), random.integers(CLASSES), random.random(), 1
    return truth, found


def detection(truth: np.ndarray, found: np.ndarray) -> Detection:
    return TASKS["detection"].predictions(truth, np.zeros((len(truth), CLASSES)), None, found)


def by_pycocotools(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Precisions [overlaps, recalls, classes, areas], from annotations that are written out here once more."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def annotations(boxes: np.ndarray, scored: bool) -> list[dict]:
        rows = []
        for picture, place in np.argwhere(boxes[..., 4] >= 0):
            upper, left, lower, right = boxes[picture, place, :4] * (300, 400, 300, 400)
            row = {"id": len(rows) + 1, "image_id": int(picture), "category_id": int(boxes[picture, place, 4])}
            row |= {"bbox": [left, upper, right - left, lower - upper], "area": (right - left) * (lower - upper)}
            row["iscrowd"] = 0 if scored else int(boxes[picture, place, 5])
            rows.append(row | ({"score": boxes[picture, place, 5]} if scored else {}))
        return rows

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": number, "height": 300, "width": 400} for number in range(len(truth))],
            "categories": [{"id": number} for number in range(CLASSES)],
            "annotations": annotations(truth, scored=False),
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(annotations(found, scored=True)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]
    return np.where(precision < 0, np.nan, precision)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_average_precision_is_that_of_pycocotools(noise):
    truth, found = made_up(noise)
    expected, ours = by_pycocotools(truth, found), detection(truth, found)
    ones = np.ones((1, PICTURES))
    for place, area in enumerate(AREAS):
        for overlaps in (OVERLAPS, (0.5,), (0.75,)):
            chosen = [OVERLAPS.index(each) for each in overlaps]
            of_classes = expected[chosen, :, :, place].mean(axis=(0, 1))
            assert average_precisions(ours, ones, range(CLASSES), area, overlaps)[0] == pytest.approx(
                of_classes, nan_ok=True
            )
    assert METRICS["box_map"].value(ours) == pytest.approx(np.nanmean(expected[..., ALL].mean(axis=(0, 1))))


def test_a_weight_is_how_often_a_picture_is_there():
    truth, found = made_up(0.1)
    weights = np.random.default_rng(2).integers(0, 4, PICTURES)
    repeated = np.repeat(np.arange(PICTURES), weights)
    ours = average_precisions(
        detection(truth, found), weights[np.newaxis].astype(float), range(CLASSES), "all", OVERLAPS
    )
    again = by_pycocotools(truth[repeated], found[repeated])[..., ALL].mean(axis=(0, 1))
    assert ours[0] == pytest.approx(again)


def picture(*boxes: tuple[float, ...], crowd: bool = False) -> np.ndarray:
    truth = np.full((1, 3, 8), -1.0)
    truth[..., 6:] = 100, 100
    for place, box in enumerate(boxes):
        truth[0, place, :6] = *box, crowd
    return truth


def test_a_crowd_is_neither_to_be_found_nor_wrong_to_find():
    found = np.array([[(0.1, 0.1, 0.3, 0.3, 0, 0.9, 1)]])
    one = detection(picture((0.0, 0.0, 0.5, 0.5, 0), crowd=True), found)
    assert one.mistakes.tolist() == [0]
    assert not one.actual.any()
    assert np.isnan(METRICS["box_map"].value(one))


def test_mistakes_are_objects_that_are_missed_and_boxes_that_hit_nothing():
    truth = picture((0.0, 0.0, 0.5, 0.5, 0), (0.5, 0.5, 1.0, 1.0, 1))
    right, elsewhere, unsaid = (
        (0.0, 0.0, 0.5, 0.5, 0, 0.9, 1),
        (0.6, 0.0, 0.9, 0.2, 0, 0.8, 1),
        (0.5, 0.5, 1, 1, 1, 0.2, 0),
    )
    one = detection(truth, np.array([[right, elsewhere, unsaid]]))
    assert one.mistakes.tolist() == [2]
    assert one.missed.tolist() == [[False, True, False]]
    assert [each.tolist() for each in one.of_said] == [[[True, False, False]], [[False, True, False]]]
    assert detection(truth, np.array([[right, (*unsaid[:6], 1)]])).correct.all()


def test_the_threshold_is_the_score_with_the_best_f1():
    truth = picture((0.0, 0.0, 0.5, 0.5, 0), (0.5, 0.5, 1.0, 1.0, 0))
    boxes = [(0, 0, 0.5, 0.5, 0, 0.9, 0), (0.5, 0.5, 1, 1, 0, 0.4, 0), (0.6, 0.0, 0.9, 0.2, 0, 0.3, 0)]
    assert best_thresholds(detection(truth, np.array([boxes]))) == pytest.approx([0.4, 0.5, 0.5])


def test_a_model_without_boxes_finds_nothing():
    truth, _ = made_up(0.1)
    nothing = TASKS["detection"].predictions(truth, np.zeros((PICTURES, CLASSES)), None, None)
    assert METRICS["box_map"].value(nothing) == 0
    assert nothing.mistakes.sum() == ((truth[..., 4] >= 0) & (truth[..., 5] == 0)).sum()


def test_columns_are_those_of_the_names():
    boxes = np.array([[0, 0, 1, 1, 1, 0.5, 1], [0, 0, 1, 1, -1, 0, 0]], np.float32)
    assert renumbered(boxes, ["b", "c"], ["a", "b", "c"])[:, 4].tolist() == [2, -1]

"""What a detector found in pictures, held against what is in them as COCO does it. No TensorFlow here.

Which box is a hit is decided by pycocotools, picture by picture. What follows from the hits, average precision, is
computed here for many weightings of the pictures at once, as intervals need it; of a weight of 1 each it is what
pycocotools says.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from evaluation.predictions import OfSeveralClasses, part_of

# Overlaps (IoU) from which a box is a hit, as COCO's own.
OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
# Areas in square pixels of the picture, from and to, as COCO's own.
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
ALL = list(AREAS).index("all")
# Columns of what is true and of what was found: edges first (`transforms.objects`).
CLASS, CROWD, HEIGHT, WIDTH = 4, 5, 6, 7
SCORE, SAID = 5, 6
# Of a row that is no box.
NONE = -1.0
# A picture, and the row of a box in it.
Place: TypeAlias = tuple[int, int]


def renumbered(boxes: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Returns boxes [..., 5 or more], whose classes are columns of `names`, with columns of `classes` instead."""
    # The last place is that of -1, where there is no box.
    columns = np.array([*(classes.index(name) for name in names), NONE], boxes.dtype)
    changed = np.array(boxes)
    changed[..., CLASS] = columns[boxes[..., CLASS].astype(int)]
    return changed


@dataclass(frozen=True)
class Matches:
    """Which of the boxes that were found are hits.

    Attributes:
        columns: int [pictures, boxes], the class of each that was found, -1 where there is none.
        scores: float [pictures, boxes].
        said: bool [pictures, boxes], those that reach the threshold of their class.
        hits: bool [pictures, boxes, areas, overlaps].
        counted: The same: those that are right or wrong, and neither on a crowd nor of another size.
        objects: int [pictures, classes, areas], how many there are to find.
        taken: int [pictures, objects], the place of the box that hits each at IoU 0.5; -1 where none does.
    """

    columns: np.ndarray
    scores: np.ndarray
    said: np.ndarray
    hits: np.ndarray
    counted: np.ndarray
    objects: np.ndarray
    taken: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> Matches:
        return Matches(*(each[chosen] for each in vars(self).values()))

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray, classes: int) -> Matches:
        """Holds what was found against what is true.

        Args:
            truth: float [pictures, objects, 8]: edges in shares, class, crowd, and of the picture height and width in
                pixels; the class is -1 where there is no object.
            found: float [pictures, boxes, 7]: edges in shares, class, score in [0, 1], and whether it reaches the
                threshold; the class is -1 where there is no box.
            classes: How many there are.
        """
        shape = (*found.shape[:2], len(AREAS), len(OVERLAPS))
        hits, counted = np.zeros(shape, bool), np.zeros(shape, bool)
        objects = np.zeros((len(truth), classes, len(AREAS)), np.int64)
        taken, half = np.full(truth.shape[:2], -1), OVERLAPS.index(0.5)
        judged, true_places, places = _judged_by_coco(truth, found, classes)
        for one in judged:
            picture, column = one["image_id"] - 1, one["category_id"] - 1
            area = list(AREAS.values()).index(tuple(one["aRng"]))
            objects[picture, column, area] = (1 - one["gtIgnore"].astype(int)).sum()
            boxes = [places[number][1] for number in one["dtIds"]]
            matched, ignored = one["dtMatches"].T > 0, one["dtIgnore"].T > 0
            hits[picture, boxes, area], counted[picture, boxes, area] = matched & ~ignored, ~ignored
            if area == ALL:
                for number, box in zip(one["gtIds"], one["gtMatches"][half], strict=True):
                    taken[true_places[number]] = places[int(box)][1] if box else -1
        columns = found[..., CLASS].astype(np.int64)
        said = (found[..., SAID] > 0) & (columns >= 0)
        return cls(columns, found[..., SCORE], said, hits, counted, objects, taken)


def _judged_by_coco(
    truth: np.ndarray, found: np.ndarray, classes: int
) -> tuple[list[dict[str, Any]], dict[int, Place], dict[int, Place]]:
    """Returns what pycocotools says of each picture, class and area that have any box, and what its numbers stand for.

    These are the places of objects, and those of boxes that were found: the picture, and the row in it.
    """
    # A second to load, which a check of a config has no use for.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = [
        {"id": number, "height": int(height), "width": int(width)}
        for number, (height, width) in enumerate(truth[:, 0, [HEIGHT, WIDTH]], start=1)
    ]
    categories = [{"id": number, "name": str(number)} for number in range(1, classes + 1)]

    def indexed(boxes: np.ndarray, scored: bool, places: dict[int, Place]) -> COCO:
        annotations: list[dict[str, Any]] = []
        for picture, place in np.argwhere(boxes[..., CLASS] >= 0).tolist():
            size = np.array([images[picture]["height"], images[picture]["width"]] * 2, np.float64)
            upper, left, lower, right = (boxes[picture, place, :4].astype(np.float64) * size).tolist()
            # pycocotools takes 0 for no match.
            one: dict[str, Any] = {"id": len(annotations) + 1, "image_id": picture + 1, "iscrowd": 0}
            one |= {"category_id": int(boxes[picture, place, CLASS]) + 1, "area": (right - left) * (lower - upper)}
            one["bbox"] = [left, upper, right - left, lower - upper]
            if scored:
                one["score"] = float(boxes[picture, place, SCORE])
            else:
                one["iscrowd"] = int(boxes[picture, place, CROWD] > 0)
            places[len(annotations) + 1] = (picture, place)
            annotations.append(one)
        coco = COCO()
        coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        of_truth: dict[int, Place] = {}
        of_found: dict[int, Place] = {}
        evaluation = COCOeval(indexed(truth, False, of_truth), indexed(found, True, of_found), "bbox")
        evaluation.params.iouThrs = np.array(OVERLAPS)
        evaluation.params.areaRng = [list(area) for area in AREAS.values()]
        evaluation.params.areaRngLbl = list(AREAS)
        evaluation.evaluate()
    return [one for one in evaluation.evalImgs if one is not None], of_truth, of_found


@dataclass(frozen=True)
class Detection(OfSeveralClasses):
    """Predictions of boxes; of the classes in a picture, they are those of several labels.

    Attributes:
        actual: bool [pictures, classes], those of which there is an object.
        probabilities: float [pictures, classes] in [0, 1], that there is an object of it anywhere.
        said: bool [pictures, classes], those of which a box reaches its threshold.
        matches: Of the boxes.
        truth: float [pictures, objects, 8], as `Matches.of` takes what is true.
        found: float [pictures, boxes, 7], what was found.
    """

    actual: np.ndarray
    probabilities: np.ndarray
    said: np.ndarray
    matches: Matches
    truth: np.ndarray
    found: np.ndarray
    groups: np.ndarray | None = None
    remembered: np.ndarray | None = None

    def __getitem__(self, chosen: np.ndarray | slice) -> Detection:
        return Detection(
            self.actual[chosen],
            self.probabilities[chosen],
            self.said[chosen],
            self.matches[chosen],
            self.truth[chosen],
            self.found[chosen],
            part_of(self.groups, chosen),
            part_of(self.remembered, chosen),
        )

    @cached_property
    def mistakes(self) -> np.ndarray:
        """int [pictures]: objects that no box which is said hits at IoU 0.5, and such boxes that hit none."""
        right, wrong = self.of_said
        return self.matches.objects[..., ALL].sum(axis=1) - right.sum(axis=1) + wrong.sum(axis=1)

    @property
    def of_said(self) -> tuple[np.ndarray, np.ndarray]:
        """bool [pictures, boxes] each: those that are said and hit at IoU 0.5, and those that are said and hit none."""
        matches, half = self.matches, OVERLAPS.index(0.5)
        hits, counted = matches.hits[..., ALL, half], matches.counted[..., ALL, half]
        return matches.said & hits, matches.said & counted & ~hits

    @property
    def missed(self) -> np.ndarray:
        """bool [pictures, objects]: those that no box which is said hits at IoU 0.5, crowds apart."""
        there = (self.truth[..., CLASS] >= 0) & (self.truth[..., CROWD] <= 0)
        taken = np.take_along_axis(self.matches.said, np.maximum(self.matches.taken, 0), axis=1)
        return there & ~(taken & (self.matches.taken >= 0))

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [pictures]: whether every object is found and nothing else."""
        return self.mistakes == 0


def best_thresholds(found: Detection) -> list[float]:
    """Returns the score of each class from which boxes, at IoU 0.5, have the largest F1; 0.5 where nothing is found."""
    matches, half = found.matches, OVERLAPS.index(0.5)
    thresholds = []
    for column in range(found.classes):
        rows = (matches.columns == column) & matches.counted[..., ALL, half]
        order = np.argsort(-matches.scores[rows], kind="stable")
        scores, hits = matches.scores[rows][order], np.cumsum(matches.hits[..., ALL, half][rows][order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + matches.objects[:, column, ALL].sum())
        thresholds.append(float(scores[f1.argmax()]) if len(hits) and hits[-1] else 0.5)
    return thresholds


def average_precisions(
    found: Detection, weights: np.ndarray, columns: Sequence[int], area: str, overlaps: Sequence[float]
) -> np.ndarray:
    """Computes COCO's average precision, mean over overlaps: the precision at 101 recalls from 0 to 1, mean over them.

    The precision at a recall is the largest that any threshold gives which finds as much.

    Args:
        found: Of n pictures.
        weights: float [replicates, n], how often each picture counts.
        columns: Classes.
        area: Of `AREAS`.
        overlaps: Some of `OVERLAPS`.

    Returns:
        float [replicates, columns]; NaN where there is no object of a class and size.
    """
    place, wanted = list(AREAS).index(area), [OVERLAPS.index(each) for each in overlaps]
    size = max(1, _HELD // found.matches.columns.size)
    blocks = [weights[start : start + size] for start in range(0, len(weights), size)]
    return np.concatenate(
        [
            np.stack([_of_class(found.matches, block, column, place, wanted) for column in columns], 1)
            for block in blocks
        ]
    )


# Numbers that are held at a time: one for each box and replicate.
_HELD = 4_000_000


def _of_class(matches: Matches, weights: np.ndarray, column: int, area: int, overlaps: Sequence[int]) -> np.ndarray:
    objects = weights @ matches.objects[:, column, area]
    pictures, boxes = np.nonzero(matches.columns == column)
    order = np.argsort(-matches.scores[pictures, boxes], kind="stable")
    pictures, boxes = pictures[order], boxes[order]
    by_box = np.ascontiguousarray(weights.T[pictures])
    values = []
    for overlap in overlaps:
        counted = matches.counted[pictures, boxes, area, overlap]
        hits = np.flatnonzero(matches.hits[pictures, boxes, area, overlap][counted])
        values.append(_average_precision(by_box[counted], hits, objects) if len(hits) else np.zeros(len(weights)))
    return np.where(objects > 0, np.mean(values, axis=0), np.nan)


def _average_precision(by_box: np.ndarray, hits: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Takes weights [boxes, replicates] from the best score down, and which boxes are hits, at least one."""
    # Precision is the largest at hits; whatever lies between two of them is summed at once.
    found = np.cumsum(by_box[hits], axis=0)
    starts = np.append(0, hits[:-1] + 1)
    said = np.cumsum(np.add.reduceat(by_box[: hits[-1] + 1], starts, axis=0), axis=0)
    precision = np.divide(found, said, out=np.zeros_like(found), where=said > 0)
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = np.divide(found, objects, out=np.zeros_like(found), where=objects > 0)
    # How many of the recalls 0, 0.01 ... 1 are reached down to each hit; 29 / 100 * 100 is a little below 29.
    reached = np.floor(100 * recall + 1e-9) + 1
    return (np.diff(reached, axis=0, prepend=0) * precision).sum(axis=0) / 101

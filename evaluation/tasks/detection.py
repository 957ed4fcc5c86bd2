"""Boxes around objects of some classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.detection import CLASS, CROWD, Detection, Matches, renumbered
from evaluation.predictions import DETECTION


class DetectionTask:
    """Labels are the objects of each picture, as `evaluation.detection.Matches.of` takes them."""

    measured_as = DETECTION
    leading = "box_map"

    def predictions(
        self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None, found: np.ndarray | None = None
    ) -> Detection:
        """Matches boxes with objects; a model that gives none, such as a baseline, finds nothing."""
        classes = probabilities.shape[1]
        boxes = np.full((len(labels), 1, 7), -1.0, np.float32) if found is None else np.asarray(found)
        matches = Matches.of(labels, boxes, classes)
        objects = (labels[..., CLASS, np.newaxis] == np.arange(classes)) & (labels[..., CROWD, np.newaxis] <= 0)
        of_boxes = (boxes[..., CLASS, np.newaxis] == np.arange(classes)) & matches.said[..., np.newaxis]
        return Detection(objects.any(axis=1), probabilities, of_boxes.any(axis=1), matches, labels, boxes)

    def in_columns(self, places: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Changes the column of each object or box."""
        return renumbered(places, names, classes)

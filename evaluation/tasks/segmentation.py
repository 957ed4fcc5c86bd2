"""Which class each pixel is of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.predictions import SEGMENTATION
from evaluation.segmentation import SAID, Segmentation, in_columns


class SegmentationTask:
    """Labels are int64 [pictures, classes, 1], how many pixels are of each class."""

    measured_as = SEGMENTATION
    leading = "mean_iou"

    def predictions(
        self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None, found: np.ndarray | None = None
    ) -> Segmentation:
        """Joins pixels; a model that gives none, such as a baseline, says the most probable class everywhere."""
        actual = labels[..., 0]
        if found is None:
            likeliest = probabilities.argmax(axis=1)[:, np.newaxis] == np.arange(probabilities.shape[1])
            found = np.stack([actual, np.broadcast_to(actual.sum(axis=1, keepdims=True), actual.shape)], axis=2)
            found = np.where(likeliest[..., np.newaxis], found, 0)
        pixels = np.concatenate([np.asarray(found), labels], axis=2).astype(np.int64)
        return Segmentation(actual > 0, probabilities, pixels[..., SAID] > 0, pixels)

    def in_columns(self, places: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Moves the counts of each class; of one that is not among `names` there is no pixel."""
        return in_columns(places, names, classes)

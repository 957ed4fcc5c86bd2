"""What one model said about all test examples. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answers:
    """Answers of one model, with columns of its own.

    Attributes:
        probabilities: float [examples, classes].
        classes: Name of each column.
        said: bool [examples, classes], what the model decided; None where the task leaves that to probabilities.
        found: What it found where, [examples, ...] as the task has it: boxes float32 [examples, boxes, 7]
            (`evaluation.detection`), or pixels int64 [examples, classes, 2] (`evaluation.segmentation`); None where the
            task asks for no places.
        vectors: float32 [examples, 2, width] of picture and text, where the model serves `embed`; else None.
    """

    probabilities: np.ndarray
    classes: Sequence[str]
    said: np.ndarray | None = None
    found: np.ndarray | None = None
    vectors: np.ndarray | None = None

"""What a task asks of TFMA: what it reads of an example and of an answer, and how both become arrays.

One task more is one file with an object like those in `TASKS`, and one line there. No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from components.evaluator.tasks.detection import DetectionInTfma
from components.evaluator.tasks.multi_label import MultiLabelInTfma
from components.evaluator.tasks.single_label import SingleLabelInTfma
from evaluation.metrics.references import Answered


class EvaluatorTask(Protocol):
    """What the Evaluator asks of a task.

    Attributes:
        plots: Names of TFMA's plots.
    """

    @property
    def plots(self) -> Sequence[str]: ...

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns bool [classes], what the model decided about an example.

        Args:
            outputs: What it serves for that one, by name.
        """

    def answered(self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray) -> Answered:
        """Joins what TFMA read of some examples of a slice, always with the same classes.

        Args:
            labels: As the model's `transform_features` gives them.
            probabilities: float32 [examples, classes].
            said: bool [examples, classes].
        """


TASKS: dict[str, EvaluatorTask] = {
    "single_label": SingleLabelInTfma(),
    "multi_label": MultiLabelInTfma(),
    "detection": DetectionInTfma(),
    # TFMA counts pictures: what is in them is for the metrics of pixels, which it has none of.
    "segmentation": MultiLabelInTfma(),
}

"""What a task asks of the evaluation: what a model's answers are held against.

One task more is one file with an object like those in `TASKS`, and one line there. No TensorFlow here.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from evaluation.predictions import Predictions
from evaluation.tasks.multi_label import MultiLabelTask
from evaluation.tasks.single_label import SingleLabelTask


class EvaluationTask(Protocol):
    """What the evaluation asks of a task.

    Attributes:
        measured_as: `single_label` or `multi_label`: the task whose metrics measure it.
    """

    measured_as: str

    def predictions(self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None) -> Predictions:
        """Joins what is true and what a model says.

        Args:
            labels: Of the examples, as the bulk inferrer's task writes them.
            probabilities: float [examples, classes].
            said: bool [examples, classes], what the model decided; None where probabilities alone decide.
        """


TASKS: dict[str, EvaluationTask] = {
    "single_label": SingleLabelTask(),
    "multi_label": MultiLabelTask(),
}

"""What a task asks of the evaluation: what a model's answers are held against.

One task more is one file with an object like those in `TASKS`, and one line there. No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from evaluation.predictions import Predictions
from evaluation.tasks.multi_label import MultiLabelTask
from evaluation.tasks.single_label import SingleLabelTask
from finetune.config.evaluation import GateConfig


class EvaluationTask(Protocol):
    """What the evaluation asks of a task.

    Attributes:
        measured_as: `single_label` or `multi_label`: the task whose metrics measure it.
        leading: The metric that says in one number how good a model is: of slices, of the default gate, of sentences.
    """

    measured_as: str
    leading: str

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


def gates_of(task: str, gates: Sequence[GateConfig] | None) -> list[GateConfig]:
    """Returns the gates of a config; where it names none, that the task's leading metric is no worse than before."""
    default = GateConfig(metric=TASKS[task].leading, min=-0.01, relative_to="champion")
    return [default] if gates is None else list(gates)

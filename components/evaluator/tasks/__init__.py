"""What a task asks of TFMA: what it reads of an example and of an answer, and how they become predictions.

One task more is one file with an object like those in `TASKS`, and one line there. No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from components.evaluator.tasks.multi_label import MultiLabelInTfma
from components.evaluator.tasks.single_label import SingleLabelInTfma
from evaluation.predictions import Predictions


class EvaluatorTask(Protocol):
    """What the Evaluator asks of a task.

    Attributes:
        plots: Names of TFMA's plots.
        said: Name of the served output that holds what the model decided; None where probabilities alone decide.
    """

    @property
    def plots(self) -> Sequence[str]: ...
    @property
    def said(self) -> str | None: ...

    def predictions(
        self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray | None
    ) -> Predictions:
        """Joins what TFMA read of some examples of a slice, always with the same classes.

        Args:
            labels: As the model's `transform_features` gives them.
            probabilities: float32 [examples, classes].
            said: [examples, classes], the output of that name; None where there is none.
        """


TASKS: dict[str, EvaluatorTask] = {
    "single_label": SingleLabelInTfma(),
    "multi_label": MultiLabelInTfma(),
}

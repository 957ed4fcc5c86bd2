"""What a task promises to those who ask the served model.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from components.serving_gate.shapes import Shape
from components.serving_gate.tasks.detection import Detection
from components.serving_gate.tasks.multi_label import MultiLabel
from components.serving_gate.tasks.segmentation import Segmentation
from components.serving_gate.tasks.single_label import SingleLabel


class ServedTask(Protocol):
    """What the serving gate and `predict` ask of a task.

    Attributes:
        outputs: What is served beside `probabilities` and `classes`: by name, TensorFlow's type, and the shape of what
            there is of each example.
    """

    @property
    def outputs(self) -> Mapping[str, tuple[str, Shape]]: ...

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Says what is wrong with the values of an answer, each as a clause.

        Args:
            answer: By name; `probabilities` float64 [batch, classes] without NaN or infinity, `classes` str [batch,
                classes], and `outputs`.
            decision: What was chosen on validation to decide by, as it is written beside the model.
        """

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what `predict` says of one example beside `probabilities`.

        Args:
            answer: By name, the values of one example.
        """


TASKS: dict[str, ServedTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}

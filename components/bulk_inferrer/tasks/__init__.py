"""What a task asks of the bulk inferrer: how labels and served answers become a test set, and what is shown of it.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks.detection import Detection
from components.bulk_inferrer.tasks.multi_label import MultiLabel
from components.bulk_inferrer.tasks.segmentation import Segmentation
from components.bulk_inferrer.tasks.single_label import SingleLabel
from evaluation.predictions import Predictions


class InferrerTask(Protocol):
    """What the bulk inferrer asks of a task.

    Attributes:
        has_masks: Whether examples that are shown have masks, true ones and those that the candidate gives.
    """

    has_masks: bool

    def places(self, feature: Mapping[str, Any]) -> str:
        """Returns what is where in an example, as `labels` reads it; empty where the data do not say it.

        Args:
            feature: Raw features of the example by name.
        """

    def labels(self, names: Sequence[Sequence[str]], objects: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Returns what is true of each example, [examples, ...], as `evaluation.tasks` takes it.

        Args:
            names: Labels of each example.
            objects: What is where in each picture, as `places` writes it.
            classes: Name of each column.
        """

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Returns bool [batch, classes], what a model decided; None where the task leaves that to probabilities.

        Args:
            outputs: What `serving_default` answers to a batch.

        Raises:
            KeyError: The model serves another task.
        """

    def found(self, outputs: Mapping[str, np.ndarray], examples: Sequence[Mapping[str, Any]]) -> np.ndarray | None:
        """Returns what a model found where, [batch, ...] as `Answers` has it, of the same outputs; None for nothing.

        Args:
            outputs: As in `said`.
            examples: Raw features by name of each example of the batch.
        """

    def majority(self, counts: Mapping[str, int], examples: int) -> Answers:
        """Returns the one answer of a baseline that knows how often each label is there in train, and nothing else.

        Args:
            counts: Examples of train by label.
            examples: How many there are in all.
        """

    def confidence(self, predictions: Predictions) -> np.ndarray:
        """Returns float [examples] in [0, 1]: how sure the model is of what it says about each."""

    def shown(self, predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Returns `label` and `predicted` of each example, for people to read, and what else `Sample` has of both."""

    def score(self, predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
        """Returns scores of the candidate for the report; `classes` and `per_class` among them."""


TASKS: dict[str, InferrerTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}

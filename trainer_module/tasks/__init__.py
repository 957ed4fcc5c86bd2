"""What a task asks of training and of the model that it gives.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here; the methods import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from finetune.config import EvaluationConfig, TrainingConfig
from trainer_module.tasks.detection import Detection
from trainer_module.tasks.logits import OfLogits
from trainer_module.tasks.multi_label import MultiLabel
from trainer_module.tasks.objective import Objective
from trainer_module.tasks.segmentation import Segmentation
from trainer_module.tasks.single_label import SingleLabel

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer_module.heads import Head


class TrainingTask(Protocol):
    """What training asks of a task."""

    activation: str  # Keras' name of what turns the last layer's numbers, one for each class, into probabilities.
    accuracy: str  # What is counted as `accuracy` in training, in words.
    # Keys of a config that do not go with it, `training.phases.KEY` of each phase, and what is expected in their place.
    refused: Mapping[str, str]

    def head(self) -> Head:
        """Returns what stands on top of the backbone."""

    def class_weights(
        self, wanted: str | Mapping[str, float], names: Sequence[str], labels: np.ndarray
    ) -> Sequence[float]:
        """Decides how much each class counts in training.

        Args:
            wanted: `training.class_weights`.
            names: Of the classes, in the order of the columns.
            labels: Of the train split, as `transforms.tasks` reads them.

        Raises:
            DataError: A name is none of the classes, or a class to balance has no example.
        """

    def objective(self, training: TrainingConfig, names: Sequence[str], weights: Sequence[float] | None) -> Objective:
        """Returns what training minimises and measures, with weights from `class_weights`; None counts all alike."""

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
        """Returns how far probabilities, float32 [batch, classes], are from a teacher's: float32 [batch], from 0 on.

        Both are softened by the temperature first; the divergence is multiplied by its square.
        """

    def fit_linear(self, values: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
        """Fits logistic regression on features, float [examples, features].

        Returns:
            Kernel float32 [features, classes] and offset float32 [classes] of a last layer on the features.
        """

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Returns float32 [examples, classes]: 1 for each class that an example has."""

    def of_logits(self, targets: np.ndarray, logits: np.ndarray, weights: Sequence[float] | None = None) -> OfLogits:
        """Judges logits, float [examples, classes], by `targets`.

        The weights, from `class_weights`, count in losses and slopes as they do in `objective`.
        """

    def probabilities(self, output: tf.Tensor) -> tf.Tensor:
        """Returns what is served as `probabilities`, float32 [batch, classes], of what the network gives."""

    def answers(self, output: tf.Tensor) -> tf.Tensor:
        """Returns what `decision` looks at of what the network gives, [batch, ...]."""

    def decision(
        self,
        validation: Callable[[], tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        evaluation: EvaluationConfig,
    ) -> dict[str, Any]:
        """Chooses, on the validation split, what `decode` needs beside the output; JSON can hold it.

        `validation` gives labels, and `answers` of all its examples. Of the section, `threshold` and `costs` have a
        say.
        """

    def decode(self, output: tf.Tensor, names: tf.Tensor, decision: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Returns what is served beside `probabilities` and `classes`, by name.

        Args:
            output: What the network gives.
            names: string [classes].
            decision: What `decision` chose.
        """


TASKS: dict[str, TrainingTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}

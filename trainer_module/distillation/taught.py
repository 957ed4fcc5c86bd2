"""Labels with what a teacher said beside them, and what training minimises of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from finetune.config import DistillationConfig
from trainer_module.distillation.answers import digest_of
from trainer_module.tasks import TrainingTask
from trainer_module.tasks.objective import Objective


class TaughtLabels(NamedTuple):
    """Labels of a batch, and what the teacher said of it."""

    labels: tf.Tensor  # [batch, ...], as the task has them.
    teacher: tf.Tensor  # float32 [batch, classes], probabilities.
    known: tf.Tensor  # float32 [batch]: 1 where the label is known, 0 where there is the teacher's word alone.


@dataclass(frozen=True)
class Taught:
    """What a teacher said of each example of a split, in their order."""

    probabilities: np.ndarray  # float32 [examples, classes].
    known: np.ndarray  # float32 [examples], as in `TaughtLabels`.

    @property
    def digest(self) -> str:
        """Returns what identifies it."""
        return digest_of(np.column_stack([self.probabilities, self.known]))

    def __add__(self, other: Taught) -> Taught:
        return Taught(
            np.concatenate([self.probabilities, other.probabilities]), np.concatenate([self.known, other.known])
        )

    def of_rows(self, wanted: np.ndarray) -> Taught:
        """Returns what it said of some examples, bool [examples]."""
        return Taught(self.probabilities[wanted], self.known[wanted])

    def beside(self, labels: tf.Tensor) -> TaughtLabels:
        """Returns the labels of all examples of the split with what the teacher said."""
        return TaughtLabels(labels, tf.constant(self.probabilities), tf.constant(self.known))


def taught_objective(objective: Objective, task: TrainingTask, distillation: DistillationConfig) -> Objective:
    """Returns the objective of labels with a teacher beside them.

    The loss of an example is `w * T^2 * KL(teacher || model) + (1 - w) * loss of its label`, the second part where the
    label is known (Hinton et al. 2015, section 2). What validation watches is as it was: there the labels judge.
    """
    weight, temperature = distillation.weight, distillation.temperature

    def loss(labels: TaughtLabels, probabilities: tf.Tensor) -> tf.Tensor:
        divergence = task.divergence(labels.teacher, probabilities, temperature)
        return weight * divergence + (1.0 - weight) * labels.known * objective.loss(labels.labels, probabilities)

    def accuracy(labels: tf.Tensor | TaughtLabels, probabilities: tf.Tensor) -> tf.Tensor:
        return objective.accuracy(labels.labels if isinstance(labels, TaughtLabels) else labels, probabilities)

    return Objective(loss, objective.val_loss, accuracy)

"""Any number of labels an example: sigmoids, binary cross-entropy, a threshold for each label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.thresholds import best_thresholds
from finetune.config import EvaluationConfig, TrainingConfig
from trainer_module.tasks.classification import Classification
from trainer_module.tasks.logits import OfLogits, sigmoid
from trainer_module.tasks.objective import Objective, check_all_present, named_weights
from trainer_module.tasks.softened import divergence_of_sigmoids

if TYPE_CHECKING:
    import tensorflow as tf

# As in single_label.
_LEAST_DOUBT = 1e-7


class MultiLabel(Classification):
    """Labels are multi-hot, float32 [batch, classes]."""

    activation = "sigmoid"
    accuracy = "mean Jaccard index of the labels that are there and those whose probability is at least 0.5"

    def class_weights(
        self, wanted: str | Mapping[str, float], names: Sequence[str], labels: np.ndarray
    ) -> Sequence[float]:
        """Returns how much it counts that a label is there; that it is absent counts 1.

        `balanced` is the examples that lack the label, divided by those that have it: both together count the same.
        """
        if isinstance(wanted, Mapping):
            return named_weights(wanted, names)
        counts = labels.sum(axis=0).astype(int).tolist()
        check_all_present(names, counts)
        return [(len(labels) - count) / count for count in counts]

    def objective(self, training: TrainingConfig, names: Sequence[str], weights: Sequence[float] | None) -> Objective:
        """Minimises the mean over labels of binary cross-entropy.

        With label smoothing s that to `(1 - s) * label + s / 2`, or focal loss `(1 - p)^gamma * -log p` of the
        probability p of what is true of the label; times the label's weight where it is there. Lin et al. 2017,
        equation 4. The accuracy is that of Godbole and Sarawagi 2004; it is 1 where nothing is there and nothing said.
        """
        import tensorflow as tf
        import tf_keras as keras

        def of_each_label(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            return keras.backend.binary_crossentropy(labels, probabilities)

        def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            smooth = training.label_smoothing
            losses = of_each_label(labels * (1.0 - smooth) + smooth / 2, probabilities)
            if training.focal_gamma:
                wrong = labels * (1.0 - probabilities) + (1.0 - labels) * probabilities
                losses *= tf.maximum(wrong, _LEAST_DOUBT) ** training.focal_gamma
            if weights is not None:
                losses *= 1.0 + labels * (tf.constant(weights, tf.float32) - 1.0)
            return tf.reduce_mean(losses, axis=-1)

        def val_loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(of_each_label(labels, probabilities), axis=-1)

        def accuracy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            said = tf.cast(probabilities >= 0.5, tf.float32)
            either = tf.reduce_sum(tf.maximum(labels, said), axis=-1)
            return tf.where(either > 0, tf.reduce_sum(labels * said, axis=-1) / tf.maximum(either, 1.0), 1.0)

        return Objective(loss, val_loss, accuracy)

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
        """Takes the mean over labels."""
        return divergence_of_sigmoids(teacher, student, temperature)

    def fit_linear(self, values: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
        """Fits one regression for each label, against all examples without it."""
        from trainer_module.tasks.regression import one_vs_rest

        return one_vs_rest(values, labels)

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return labels.astype(np.float32)

    def of_logits(self, targets: np.ndarray, logits: np.ndarray, weights: Sequence[float] | None = None) -> OfLogits:
        """Takes the mean over labels of binary cross-entropy."""
        probabilities, classes = sigmoid(logits), targets.shape[1]
        # log(1 + exp(x)) is the loss of a label that is absent; one that is there has x less.
        losses, slopes = np.logaddexp(0.0, logits) - targets * logits, (probabilities - targets) / classes
        if weights is not None:
            of_each = 1.0 + targets * (np.asarray(weights, targets.dtype) - 1.0)
            losses, slopes = losses * of_each, slopes * of_each
        said = probabilities >= 0.5
        either = ((targets > 0) | said).sum(axis=1)
        hits = np.where(either > 0, (targets * said).sum(axis=1) / np.maximum(either, 1), 1.0)
        return OfLogits(losses.mean(axis=1, dtype=np.float64), slopes, probabilities, hits)

    def decision(
        self,
        validation: Callable[[], tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        evaluation: EvaluationConfig,
    ) -> dict[str, Any]:
        """Chooses `thresholds`, float [classes]: of each label the one with the largest F1."""
        return {"thresholds": best_thresholds(*validation()).tolist()}

    def decode(self, probabilities: tf.Tensor, names: tf.Tensor, decision: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Serves `predicted` int64 [batch, classes]: 1 where a probability is at least its label's threshold."""
        import tensorflow as tf

        return {"predicted": tf.cast(probabilities >= tf.constant(decision["thresholds"], tf.float32), tf.int64)}

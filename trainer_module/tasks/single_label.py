"""One label an example: softmax, cross-entropy, the most probable class or that of a threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.thresholds import two_class_decision
from finetune.config import EvaluationConfig, TrainingConfig
from trainer_module.tasks.classification import Classification
from trainer_module.tasks.logits import OfLogits, softmax
from trainer_module.tasks.objective import Objective, check_all_present, named_weights
from trainer_module.tasks.softened import divergence_of_softmax

if TYPE_CHECKING:
    import tensorflow as tf

# The slope of the focal factor is infinite at an example that is surely right when gamma is below 1.
_LEAST_DOUBT = 1e-7


class SingleLabel(Classification):
    """Labels are int64 [batch], the column of the class."""

    activation = "softmax"
    accuracy = "share of examples whose most probable class is right"

    def class_weights(
        self, wanted: str | Mapping[str, float], names: Sequence[str], labels: np.ndarray
    ) -> Sequence[float]:
        """Returns the weight of an example of each class.

        `balanced` is `examples / (classes * examples of the class)` (King and Zeng 2001), which keeps the mean weight
        of the train split at 1.
        """
        if isinstance(wanted, Mapping):
            return named_weights(wanted, names)
        counts = np.bincount(labels, minlength=len(names)).tolist()
        check_all_present(names, counts)
        return [sum(counts) / (len(counts) * count) for count in counts]

    def objective(self, training: TrainingConfig, names: Sequence[str], weights: Sequence[float] | None) -> Objective:
        """Minimises cross-entropy, or with label smoothing s that to `(1 - s) * one_hot + s / classes`.

        Or focal loss `(1 - p)^gamma * -log p`; times the weight of the example's class. Szegedy et al. 2016; Lin et
        al. 2017, equation 4.
        """
        import tensorflow as tf
        import tf_keras as keras

        classes = len(names)

        def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            if training.label_smoothing:
                smooth = training.label_smoothing
                on, off = 1.0 - smooth + smooth / classes, smooth / classes
                targets = tf.one_hot(labels, classes, on_value=on, off_value=off)
                losses = keras.losses.categorical_crossentropy(targets, probabilities)
            else:
                losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            if training.focal_gamma:
                right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
                losses *= tf.maximum(1.0 - right, _LEAST_DOUBT) ** training.focal_gamma
            if weights is not None:
                losses *= tf.gather(tf.constant(weights, tf.float32), labels)
            return losses

        def accuracy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.argmax(probabilities, axis=-1) == labels, tf.float32)

        return Objective(loss, keras.losses.sparse_categorical_crossentropy, accuracy)

    def divergence(self, teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
        """Takes that of the classes, which exclude each other."""
        return divergence_of_softmax(teacher, student, temperature)

    def fit_linear(self, values: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
        """Fits multinomial regression; a class without an example is never predicted."""
        from trainer_module.tasks.regression import multinomial

        return multinomial(values, labels, classes)

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return np.eye(classes, dtype=np.float32)[labels]

    def of_logits(self, targets: np.ndarray, logits: np.ndarray, weights: Sequence[float] | None = None) -> OfLogits:
        """Takes cross-entropy; its slope is what the probabilities are above the targets."""
        probabilities, logarithms = softmax(logits)
        losses, slopes = -(targets * logarithms).sum(axis=1, dtype=np.float64), probabilities - targets
        if weights is not None:
            of_each = targets @ np.asarray(weights, targets.dtype)
            losses, slopes = losses * of_each, slopes * of_each[:, np.newaxis]
        hits = probabilities.argmax(axis=1) == targets.argmax(axis=1)
        return OfLogits(losses, slopes, probabilities, hits.astype(np.float64))

    def decision(
        self,
        validation: Callable[[], tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        evaluation: EvaluationConfig,
    ) -> dict[str, Any]:
        """Chooses the threshold that the config wants; without one, the most probable class is predicted."""
        wanted = evaluation.threshold
        return two_class_decision(wanted, evaluation.costs, names, *validation()) if wanted else {}

    def decode(self, probabilities: tf.Tensor, names: tf.Tensor, decision: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Serves `label` string [batch], the most probable class, or the one that the threshold says."""
        import tensorflow as tf

        places = tf.argmax(probabilities, axis=-1)
        if "threshold_of" in decision:
            wanted = tf.argmax(tf.cast(names == decision["threshold_of"], tf.int32))
            threshold = tf.gather(tf.constant(decision["thresholds"], tf.float32), wanted)
            places = tf.where(tf.gather(probabilities, wanted, axis=-1) >= threshold, wanted, 1 - wanted)
        return {"label": tf.gather(names, places)}

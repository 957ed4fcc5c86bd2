"""What training minimises, example by example."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras as keras

from finetune.config import TrainingConfig

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# The slope of the focal factor is infinite at an example that is surely right when gamma is below 1.
_LEAST_DOUBT = 1e-7


def training_loss(training: TrainingConfig, classes: int, weights: Sequence[float] | None) -> Loss:
    """Returns the loss of each example, from int64 [batch] labels and float32 [batch, classes] probabilities.

    Cross-entropy, or with label smoothing s that to `(1 - s) * one_hot + s / classes` (Szegedy et al. 2016), or focal
    loss `(1 - p)^gamma * -log p` (Lin et al. 2017, equation 4); times the weight of the example's class.

    Args:
        training: Smoothing and gamma.
        classes: How many there are.
        weights: From `class_weights`.
    """

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        if training.label_smoothing:
            smooth = training.label_smoothing
            targets = tf.one_hot(labels, classes, on_value=1.0 - smooth + smooth / classes, off_value=smooth / classes)
            losses = keras.losses.categorical_crossentropy(targets, probabilities)
        else:
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        if training.focal_gamma:
            right = tf.gather(probabilities, labels, axis=1, batch_dims=1)
            losses *= tf.maximum(1.0 - right, _LEAST_DOUBT) ** training.focal_gamma
        if weights is not None:
            losses *= tf.gather(tf.constant(weights, tf.float32), labels)
        return losses

    return loss

"""The loss of CLIP: each picture finds its text among those of the batch, and each text its picture."""

from __future__ import annotations

import tensorflow as tf

from trainer_module.alignment.vectors import Vectors
from trainer_module.tasks.objective import Objective

# A similarity of what is not there: it has no share in any softmax, and makes no infinity less infinity.
_NEVER = -1e9


def contrastive_loss(image: tf.Tensor, text: tf.Tensor, pairs: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Returns the symmetric cross-entropy over scaled similarities (Radford et al. 2021, figure 3) of each example.

    Where the batch has the same text twice, each is the other's wrong answer, as there.

    Args:
        image: float32 [batch, width], each of length 1.
        text: The same.
        pairs: bool [batch], which examples have a picture and a text; the others are left out.
        scale: float32 scalar, 1 / temperature.

    Returns:
        float32 [batch], the mean of both ways, in nats; 0 for what is left out.
    """
    similar = scale * tf.matmul(image, text, transpose_b=True)
    of_image = tf.nn.log_softmax(tf.where(pairs[tf.newaxis, :], similar, _NEVER), axis=1)
    of_text = tf.nn.log_softmax(tf.where(pairs[:, tf.newaxis], similar, _NEVER), axis=0)
    losses = -(tf.linalg.diag_part(of_image) + tf.linalg.diag_part(of_text)) / 2
    return tf.where(pairs, losses, 0.0)


def found_in_batch(image: tf.Tensor, text: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """Returns whether the own text is the nearest to each picture of those in the batch: float32 [batch], 0 or 1."""
    similar = tf.where(pairs[tf.newaxis, :], tf.matmul(image, text, transpose_b=True), _NEVER)
    own = tf.linalg.diag_part(similar)
    return tf.cast(pairs & (own >= tf.reduce_max(similar, axis=1)), tf.float32)


def contrastive_objective() -> Objective:
    """Returns what training minimises; labels have no say, and what a batch holds is what each example is told from."""

    def loss(labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        found = Vectors.of(output)
        return contrastive_loss(found.image, found.text, tf.reduce_all(found.there, axis=1), found.scale)

    def accuracy(labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        found = Vectors.of(output)
        return found_in_batch(found.image, found.text, tf.reduce_all(found.there, axis=1))

    return Objective(loss, loss, accuracy)

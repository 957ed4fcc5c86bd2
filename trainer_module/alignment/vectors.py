"""What the network of `fusion: contrastive` gives: a vector of each side, which sides there are, and the scale."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

# Columns behind both vectors: whether there is a picture, whether there is a text, and the scale.
_FACTS = 3


@dataclass(frozen=True)
class Vectors:
    """Of a batch. Vectors have the length 1.

    Attributes:
        image: float32 [batch, width].
        text: float32 [batch, width].
        there: bool [batch, 2], whether there is a picture, and a text.
        scale: float32 scalar, what similarities are multiplied with: 1 / temperature.
    """

    image: tf.Tensor
    text: tf.Tensor
    there: tf.Tensor
    scale: tf.Tensor

    @classmethod
    def of(cls, output: tf.Tensor) -> Vectors:
        """Reads what the network gives, float32 [batch, 2 * width + 3]."""
        width = (output.shape[-1] - _FACTS) // 2
        image, text, there, scale = tf.split(output, [width, width, 2, 1], axis=1)
        return cls(image, text, there > 0, tf.reduce_max(scale))

    @staticmethod
    def joined(image: tf.Tensor, text: tf.Tensor, there: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Makes that output; `there` is int64 [batch, 2]."""
        there = tf.cast(there, tf.float32)
        return tf.concat([image, text, there, scale * tf.ones_like(there[:, :1])], axis=1)

"""The layers of `fusion: contrastive`: a projection of each side into one space, and the scale of similarities."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config import HeadConfig
from finetune.config.fusion import FusionConfig
from trainer_module.alignment.vectors import Vectors
from trainer_module.heads import add_projection
from transforms.features import IMAGE, TEXT

# As CLIP has it: a temperature below 0.01 makes training unstable.
MOST_SCALE = 100.0


def align(
    picture: keras.KerasTensor,
    words: keras.KerasTensor,
    there: keras.KerasTensor,
    fusion: FusionConfig,
    head: HeadConfig,
    seed: int,
) -> keras.KerasTensor:
    """Brings both sides into one space.

    Args:
        picture: Pooled features of the picture's network, float32 [batch, channels].
        words: The same of the text's.
        there: int64 [batch, 2], 1 for each side that is there.
        fusion: Says how wide the space is, and what the temperature is at the start.
        head: Of each side, below the projection: hidden layers, dropout, penalties.
        seed: Seeds initial weights and dropout.

    Returns:
        float32 [batch, 2 * width + 3], as `Vectors` reads it.
    """
    vectors = [
        UnitLength(name=f"{side}_vector")(add_projection(features, head, fusion.width, seed + 1000 * number, side))
        for number, (side, features) in enumerate(((IMAGE, picture), (TEXT, words)))
    ]
    return Scaled(1 / fusion.temperature, name="aligned")([*vectors, there])


class UnitLength(keras.layers.Layer):
    """Divides vectors by their length."""

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """From float32 [batch, width] to the same shape."""
        return tf.math.l2_normalize(vectors, axis=-1)


class Scaled(keras.layers.Layer):
    """Puts the learned scale of similarities beside the vectors of both sides."""

    def __init__(self, scale: float, **kwargs: Any):
        """Takes the scale at the start, in (0, MOST_SCALE]."""
        super().__init__(**kwargs)
        self._initial = math.log(scale)

    def build(self, input_shape: Any) -> None:
        self._log_scale = self.add_weight("log_scale", (), initializer=keras.initializers.Constant(self._initial))
        super().build(input_shape)

    def call(self, inputs: Any) -> tf.Tensor:
        """From vectors of pictures and texts, and `there`, to what `Vectors` reads."""
        image, text, there = inputs
        return Vectors.joined(image, text, there, tf.minimum(tf.exp(self._log_scale), MOST_SCALE))

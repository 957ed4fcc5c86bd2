"""Brings pixels into the range that a backbone was trained with, as a layer of the network."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.backbone import Scaling
from transforms.image import scale


class Scale(keras.layers.Layer):
    """Scales as `transforms.image.scale` does."""

    def __init__(self, scaling: Scaling, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._scaling = scaling

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the same shape."""
        return scale(pixels, self._scaling)

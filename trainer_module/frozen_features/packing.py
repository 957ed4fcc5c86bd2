"""Several tensors of an example as one row of bytes, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras


def packed(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Puts tensors of numbers [batch, ...] one behind the other: uint8 [batch, bytes]."""
    as_bytes = [tf.bitcast(tensor, tf.uint8) for tensor in tensors]
    return tf.concat([tf.reshape(each, [tf.shape(each)[0], -1]) for each in as_bytes], axis=1)


class Unpack(keras.layers.Layer):
    """Reads what `packed` made."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str], **kwargs: Any):
        """Takes shape, without the batch, and type of each tensor."""
        super().__init__(trainable=False, dtype="uint8", **kwargs)
        self._shapes, self._dtypes = list(shapes), list(dtypes)

    def call(self, rows: tf.Tensor) -> list[tf.Tensor]:
        """From uint8 [batch, bytes] to the tensors."""
        found, start = [], 0
        for shape, name in zip(self._shapes, self._dtypes, strict=True):
            dtype = tf.as_dtype(name)
            end = start + math.prod(shape) * dtype.size
            values = tf.reshape(rows[:, start:end], [-1, *shape, dtype.size])
            found.append(tf.ensure_shape(tf.bitcast(values, dtype), [None, *shape]))
            start = end
        return found

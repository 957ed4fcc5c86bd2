"""Raw features inside the Transform graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def column(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """Returns string [batch], from one string an example, sparse or dense as the schema parses it."""
    if isinstance(values, tf.SparseTensor):
        values = tf.sparse.to_dense(values, default_value="")
    return tf.reshape(values, [-1])


def as_parsed(values: tf.Tensor, spec: Any) -> tf.Tensor | tf.SparseTensor:
    """Shapes string [batch] as the schema parses the feature: what `column` undoes."""
    if isinstance(spec, tf.io.VarLenFeature):
        return tf.sparse.from_dense(values[:, tf.newaxis])
    return tf.reshape(values, [-1, *spec.shape])

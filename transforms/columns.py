"""Raw features inside the Transform graph."""

from __future__ import annotations

import tensorflow as tf


def column(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """Returns string [batch], from one string an example, sparse or dense as the schema parses it."""
    if isinstance(values, tf.SparseTensor):
        values = tf.sparse.to_dense(values, default_value="")
    return tf.reshape(values, [-1])

"""Makes one vector of the vectors of an example's words."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras


class PoolWords(keras.layers.Layer):
    """Mean and maximum over the words of a text.

    Both together tell more than either: the mean what a text is about, the maximum what occurs in it at all. Zeros in
    all channels are no word; a text without words gives zeros.
    """

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """From float32 [batch, words, channels] to [batch, 2 * channels]."""
        is_word = tf.reduce_any(vectors != 0, axis=-1, keepdims=True)
        count = tf.reduce_sum(tf.cast(is_word, vectors.dtype), axis=1)
        mean = tf.math.divide_no_nan(tf.reduce_sum(vectors, axis=1), count)
        largest = tf.reduce_max(tf.where(is_word, vectors, vectors.dtype.min), axis=1)
        return tf.concat([mean, tf.where(count > 0, largest, 0)], axis=-1)

"""Layers of a network that Keras does not have."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.backbone import Scaling
from transforms.image import scale
from transforms.text import NO_WORD


class Scale(keras.layers.Layer):
    """Brings pixels into the range that a backbone was trained with, as `transforms.image.scale` does."""

    def __init__(self, scaling: Scaling, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._scaling = scaling

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the same shape."""
        return scale(pixels, self._scaling)


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


class WhereWords(keras.layers.Layer):
    """Sets the vectors of padding to zero, whatever training has made of them."""

    def call(self, inputs: Any) -> tf.Tensor:
        """From float32 [batch, words, channels] and the words' ids int64 [batch, words] to the same vectors."""
        vectors, ids = inputs
        return vectors * tf.cast(ids != NO_WORD, vectors.dtype)[..., tf.newaxis]


class EachPatch(keras.layers.Layer):
    """Makes of the patches of a sound examples of their own, for a network that takes one at a time."""

    def __init__(self, channels: bool, **kwargs: Any):
        """Takes whether the network wants an axis of channels behind frames and bands."""
        super().__init__(trainable=False, **kwargs)
        self._channels = channels

    def call(self, patches: tf.Tensor) -> tf.Tensor:
        """From [batch, patches, frames, bands] to [batch * patches, frames, bands], or [..., 1]."""
        _, _, frames, bands = patches.shape
        return tf.reshape(patches, [-1, frames, bands, *([1] if self._channels else [])])


class Patches(keras.layers.Layer):
    """Averages features over their places, and brings those of a sound's patches together again."""

    def __init__(self, patches: int, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._patches = patches

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """From float32 [batch * patches, ..., channels] to [batch, patches, channels]."""
        places = list(range(1, len(features.shape) - 1))
        vectors = tf.reduce_mean(features, axis=places) if places else features
        return tf.reshape(vectors, [-1, self._patches, features.shape[-1]])


class WherePatches(keras.layers.Layer):
    """Sets the features to zero of patches that are zero throughout, as they stand for none."""

    def call(self, inputs: Any) -> tf.Tensor:
        """From features [batch, patches, channels] and patches [batch, patches, frames, bands] to such features."""
        features, patches = inputs
        is_patch = tf.reduce_any(patches != 0, axis=[2, 3])
        return features * tf.cast(is_patch, features.dtype)[..., tf.newaxis]


class MeanOfPatches(keras.layers.Layer):
    """Averages the patches of a sound; zeros in all channels are no patch."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """From float32 [batch, patches, channels] to [batch, channels]."""
        is_patch = tf.reduce_any(features != 0, axis=-1, keepdims=True)
        count = tf.reduce_sum(tf.cast(is_patch, features.dtype), axis=1)
        return tf.math.divide_no_nan(tf.reduce_sum(features, axis=1), count)


class Cast(keras.layers.Layer):
    """Gives tensors, by name, the types that an encoder was made with."""

    def __init__(self, dtypes: dict[str, str], **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._dtypes = dtypes

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: tf.cast(tensor, self._dtypes[name]) for name, tensor in inputs.items()}

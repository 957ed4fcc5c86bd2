"""Layers of a network that Keras does not have."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.backbone import Pooling, Scaling
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


class PoolBlocks(keras.layers.Layer):
    """Averages maps over their places and puts the vectors in a row, each brought to a root mean square of 1.

    Without that, the maps of the largest numbers would have the say (Head2Toe, arXiv 2201.03529, section 3.2, which
    brings each to a length of 1).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)

    def call(self, maps: list[tf.Tensor]) -> tf.Tensor:
        """From maps [batch, height, width, channels] or vectors to float32 [batch, sum of channels]."""
        pooled = [tf.reduce_mean(each, range(1, each.shape.rank - 1)) for each in maps]
        lengths = [tf.sqrt(tf.reduce_mean(tf.square(each), axis=-1, keepdims=True)) for each in pooled]
        return tf.concat([tf.math.divide_no_nan(*each) for each in zip(pooled, lengths, strict=True)], axis=-1)


class PoolWords(keras.layers.Layer):
    """Mean and maximum over the words of a text.

    Both together tell more than either: the mean what a text is about, the maximum what occurs in it at all. Zeros in
    all channels are no word; a text without words gives zeros.
    """

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """From float32 [batch, words, channels] to [batch, 2 * channels]."""
        is_word = _is_word(vectors)[..., tf.newaxis]
        count = tf.reduce_sum(tf.cast(is_word, vectors.dtype), axis=1)
        mean = tf.math.divide_no_nan(tf.reduce_sum(vectors, axis=1), count)
        largest = tf.reduce_max(tf.where(is_word, vectors, vectors.dtype.min), axis=1)
        return tf.concat([mean, tf.where(count > 0, largest, 0)], axis=-1)


class WhereWords(keras.layers.Layer):
    """Sets the vectors of padding to zero, whatever the layers below have made of them."""

    def call(self, inputs: Any) -> tf.Tensor:
        """From float [batch, words, channels], and the words' ids or vectors, to the same vectors."""
        vectors, words = inputs
        return tf.where(_is_word(words)[..., tf.newaxis], vectors, 0)


class TrimWords(keras.layers.Layer):
    """Cuts off the places at the end at which no text of a batch has a word, so that short texts cost little."""

    def call(self, words: tf.Tensor) -> tf.Tensor:
        """From ids [batch, words] or vectors [batch, words, channels] to as many words as the longest text has."""
        places = tf.range(1, tf.shape(words)[1] + 1)
        longest = tf.reduce_max(tf.where(_is_word(words), places, 0))
        # A batch of empty texts, or an empty batch, keeps one place.
        return words[:, : tf.maximum(longest, 1)]


class PadWords(keras.layers.Layer):
    """Brings vectors of words to one length, with zeros at the end, as `TrimWords` takes them."""

    def __init__(self, length: int, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._length = length

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """From float [batch, words, channels] to float [batch, length, channels]."""
        missing = self._length - tf.shape(vectors)[1]
        return tf.ensure_shape(tf.pad(vectors, [[0, 0], [0, missing], [0, 0]]), [None, self._length, vectors.shape[2]])


class Positions(keras.layers.Layer):
    """Numbers the pieces of a text from 0."""

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """From ids int64 [batch, pieces] to int64 [1, pieces], the same for each text."""
        return tf.range(tf.shape(ids, tf.int64)[1])[tf.newaxis]


class TextTypes(keras.layers.Layer):
    """Tells the second text of a pair from the first, which ends with a piece of its own."""

    def __init__(self, end: int, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._end = end

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """From ids int64 [batch, pieces] to int64 [batch, pieces]: 1 behind the first end, where there are pieces."""
        ends = tf.cumsum(tf.cast(ids == self._end, tf.int64), axis=1, exclusive=True)
        return tf.cast((ends > 0) & (ids != NO_WORD), tf.int64)


class SelfAttention(keras.layers.Layer):
    """Scaled dot products with several heads (Vaswani et al. 2017, section 3.2), without the projections around it."""

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._heads = heads

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self._heads}

    def call(self, inputs: Any) -> tf.Tensor:
        """Mixes values by queries and keys.

        Args:
            inputs: Queries, keys and values, float [batch, pieces, channels]; and vectors of the pieces, which are zero
                where there is none.

        Returns:
            float [batch, pieces, channels].
        """
        queries, keys, values = map(self._split, inputs[:3])
        queries *= tf.cast(queries.shape[-1], queries.dtype) ** -0.5
        scores = tf.matmul(queries, keys, transpose_b=True)
        scores = tf.where(_is_word(inputs[3])[:, tf.newaxis, tf.newaxis], scores, scores.dtype.min)
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), values), [0, 2, 1, 3])
        return tf.ensure_shape(tf.reshape(mixed, tf.shape(inputs[2])), inputs[2].shape)

    def _split(self, vectors: tf.Tensor) -> tf.Tensor:
        """Gives each head its part: [batch, pieces, channels] to [batch, heads, pieces, channels / heads]."""
        shape = tf.shape(vectors)
        parts = tf.reshape(vectors, [shape[0], shape[1], self._heads, vectors.shape[2] // self._heads])
        return tf.transpose(parts, [0, 2, 1, 3])


class PoolPieces(keras.layers.Layer):
    """Makes one vector of those of a text's pieces: that of the first, their mean or their maximum."""

    def __init__(self, pooling: Pooling, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._pooling = pooling

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pooling": self._pooling}

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """From float [batch, pieces, channels], zero where there is no piece, to float [batch, channels]."""
        if self._pooling == "cls":
            return vectors[:, 0]
        is_piece = _is_word(vectors)[..., tf.newaxis]
        if self._pooling == "max":
            return tf.reduce_max(tf.where(is_piece, vectors, vectors.dtype.min), axis=1)
        count = tf.reduce_sum(tf.cast(is_piece, vectors.dtype), axis=1)
        return tf.math.divide_no_nan(tf.reduce_sum(vectors, axis=1), count)


@keras.saving.register_keras_serializable("finetune")
def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Computes GELU with `tanh` in place of the error function (Hendrycks and Gimpel 2016)."""
    return tf.nn.gelu(x, approximate=True)


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


def _is_word(words: tf.Tensor) -> tf.Tensor:
    """Tells where there is a word: bool [batch, words], of ids int64 [batch, words] or vectors [..., channels]."""
    return words != NO_WORD if words.dtype.is_integer else tf.reduce_any(words != 0, axis=-1)

"""A table of word vectors as a backbone: ids of words in, their vectors out."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from transforms import features
from transforms.text import NO_WORD, vector_count
from transforms.word_table import WordTable


def word_vectors(table: WordTable, unknown_words: str | int, max_words: int, random: bool = False) -> keras.Model:
    """Builds the backbone.

    Args:
        table: Words and vectors. Words beside it start from the mean of its vectors.
        unknown_words: As in `transforms.text.WordIds`.
        max_words: Length of the input.
        random: Draws vectors from a normal distribution with the table's mean and deviation, in place of its own.

    Returns:
        A model from ids int64 [batch, max_words] to float32 [batch, max_words, dimensions]; where there is no word,
        zeros. Its layer `word_vectors` holds the vectors.
    """
    count, dimensions = vector_count(table, unknown_words), table.vectors.shape[1]
    mean = table.vectors.mean(axis=0)
    rows = np.zeros((count, dimensions), np.float32)
    rows[1:] = mean
    if random:
        initial = keras.initializers.RandomNormal(float(table.vectors.mean()), float(table.vectors.std()))
    else:
        rows[1 : 1 + len(table.words)] = table.vectors
        initial = keras.initializers.Constant(rows)
    ids = keras.Input((max_words,), dtype=tf.int64, name=features.WORD_IDS)
    vectors = keras.layers.Embedding(count, dimensions, embeddings_initializer=initial, name="word_vectors")(ids)
    return keras.Model(ids, _WhereWords(name="where_words")([vectors, ids]), name="WordVectors")


class _WhereWords(keras.layers.Layer):
    """Sets the vectors of padding to zero, whatever training has made of them."""

    def call(self, inputs: Any) -> tf.Tensor:
        vectors, ids = inputs
        return vectors * tf.cast(ids != NO_WORD, vectors.dtype)[..., tf.newaxis]

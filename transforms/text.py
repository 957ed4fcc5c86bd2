"""From a text to the ids of its words, in TensorFlow operations that training and serving share."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from finetune.errors import BackboneError
from transforms.word_table import WordTable

# In place of an id: padding, and words to leave out.
NO_WORD = 0
_SPACE = 32


def split_words(texts: tf.Tensor, lowercase: bool) -> tf.RaggedTensor:
    """Cuts texts into words much as GloVe's corpora were: at spaces, punctuation by itself, clitics cut off.

    `I don't, OK?` becomes `i`, `do`, `n't`, `,`, `ok`, `?`. From string [batch] to string [batch, (words)]; any bytes:
    those that are not UTF-8, and control characters, count as spaces.
    """
    clean = tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=_SPACE, replace_control_characters=True
    )
    if lowercase:
        clean = tf.strings.lower(clean, encoding="utf-8")
    for pattern, replacement in (
        (r"\p{Z}+", " "),
        ("[\u2018\u2019]", "'"),
        # Apostrophes that belong to a clitic are kept out of the way of those that are quotes.
        (r"(?i)(\pL)n't\b", "\\1 n\x01t"),
        (r"(?i)(\pL)'(s|m|d|ll|re|ve)\b", "\\1 \x01\\2"),
        (r"([^\pL\pM\pN\x01 ])", r" \1 "),
        ("\x01", "'"),
    ):
        clean = tf.strings.regex_replace(clean, pattern, replacement)
    return tf.strings.split(clean)


class WordIds(tf.Module):
    """Looks words up in a table; the table is part of the graph that is served."""

    def __init__(self, table: WordTable, unknown_words: str | int):
        """Args:
        table: Its words get the ids 1, 2, ... in their order.
        unknown_words: What becomes of other words: `skip` leaves them out, `average` gives all of them the next id,
            and a number shares them out among as many ids by their hash.
        """
        super().__init__(name="word_ids")
        self._lowercase = table.lowercase
        self._unknown_words = unknown_words
        self._known = len(table.words)
        keys = tf.constant([word.encode() for word in table.words])
        ids = tf.range(1, self._known + 1, dtype=tf.int64)
        self.lookup = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ids), NO_WORD)

    def __call__(self, texts: tf.Tensor, max_words: int) -> tf.Tensor:
        """Turns texts string [batch] into ids int64 [batch, max_words], padded with NO_WORD or cut off."""
        words = split_words(texts, self._lowercase)
        ids = tf.ragged.map_flat_values(self._look_up, words)
        ids = tf.ragged.boolean_mask(ids, ids != NO_WORD)
        return tf.ensure_shape(ids.to_tensor(NO_WORD, shape=[None, max_words]), [None, max_words])

    def _look_up(self, words: tf.Tensor) -> tf.Tensor:
        ids = self.lookup.lookup(words)
        if self._unknown_words == "skip":
            return ids
        buckets = 1 if self._unknown_words == "average" else self._unknown_words
        return tf.where(ids == NO_WORD, 1 + self._known + tf.strings.to_hash_bucket_fast(words, buckets), ids)


def vector_count(table: WordTable, unknown_words: str | int) -> int:
    """How many ids `WordIds` gives, with NO_WORD."""
    buckets = unknown_words if isinstance(unknown_words, int) else {"skip": 0, "average": 1}[unknown_words]
    return 1 + len(table.words) + buckets


def valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """Puts U+FFFD in place of bytes that are not UTF-8: string [batch] to string [batch]."""
    return tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")


def load_preprocessor(handle: str) -> Any:
    """Loads the SavedModel, in a folder or at a URL, that makes an encoder's inputs of texts.

    Raises:
        BackboneError: It cannot be had, or has operations that this TensorFlow lacks.
    """
    try:
        return hub.load(handle)
    except tf.errors.NotFoundError as error:
        raise BackboneError(
            f"backbone.text.preprocessor: {handle!r} needs an operation that is not there: {error.message} "
            "Most preprocessors of TF Hub are made of TensorFlow Text's, which this environment does not have; take "
            "one of TensorFlow's own operations, or the model in Hugging Face's layout: backbone.name: BERT."
        ) from None
    except Exception as error:  # Resolvers raise whatever their protocol does.
        raise BackboneError(
            f"backbone.text.preprocessor: {handle!r} cannot be loaded: {error}\nExpected a folder with a "
            "saved_model.pb, or a URL that this machine can reach; TFHUB_CACHE_DIR holds what was downloaded."
        ) from None

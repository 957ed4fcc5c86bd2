"""Texts with some of their words left out (Iyyer et al. 2015), a pure function of a seed."""

from __future__ import annotations

import tensorflow as tf

from finetune.errors import BackboneError
from transforms.text import NO_WORD


def without_some(value: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Leaves out a share of the words at random, and of a text that would lose all, none.

    Args:
        value: Ids int64 [words], of which NO_WORD is none, or a text, string []. Ids of a preprocessor come by name.
        seed: int64 [2]; the same seed leaves out the same.

    Returns:
        The same type and shape; ids that are left out become NO_WORD, words of a text go with the space before them.

    Raises:
        BackboneError: The backbone takes several tensors.
    """
    if isinstance(value, dict):
        raise BackboneError(
            "augmentation.word_dropout: the backbone takes what its preprocessor makes, "
            f"{', '.join(sorted(value))}, of which no words can be left out. Leave it out."
        )
    words = tf.strings.split(value) if value.dtype == tf.string else value
    kept = tf.random.stateless_uniform(tf.shape(words), seed) >= share
    if value.dtype != tf.string:
        left = tf.where(kept, words, NO_WORD)
        return tf.where(tf.reduce_any(left != NO_WORD), left, value)
    left = tf.strings.reduce_join(tf.boolean_mask(words, kept), separator=" ")
    return tf.where(tf.reduce_any(kept), left, value)

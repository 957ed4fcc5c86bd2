"""Texts: taken as Transform made them, pooled over their words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config import AugmentationConfig
from finetune.errors import BackboneError
from trainer_module.modalities.as_transformed import AsTransformed

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


class Text(AsTransformed):
    """Ids of words, strings, or several tensors by name."""

    augments = frozenset({"word_dropout", "views"})

    def pool(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Pools words [batch, words, channels], which are zero where there is no word."""
        from trainer_module.layers import PoolWords

        if len(features.shape) != 3:
            raise BackboneError(
                f"backbone: its features have the shape {list(features.shape)}; expected of texts words "
                "[batch, words, channels] or a vector [batch, channels]."
            )
        return PoolWords(name=name)(features)

    def augment(self, value: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
        """Leaves words out, but one at least: ids int64 [words], of which 0 is none, or a text, string []."""
        from trainer_module.examples.word_dropout import without_some

        return without_some(value, seed, config.word_dropout) if config.word_dropout else value

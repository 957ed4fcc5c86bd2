"""Sounds: log-mel patches, averaged over their places and over the patches that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config import AugmentationConfig
from finetune.config.augmentation import SOUND_CHANGES
from finetune.errors import BackboneError
from trainer_module.modalities.as_transformed import AsTransformed

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


class Audio(AsTransformed):
    """Log-mel patches of a sound, of which those that are zero throughout stand for none."""

    augments = frozenset({*SOUND_CHANGES, "mixup", "views"})

    def pool(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Averages patches [batch, patches, channels], which are zero where there is none."""
        from trainer_module.layers import MeanOfPatches

        if len(features.shape) != 3:
            raise BackboneError(
                f"backbone: its features have the shape {list(features.shape)}; expected of sounds patches "
                "[batch, patches, channels] or a vector [batch, channels]."
            )
        return MeanOfPatches(name=name)(features)

    def augment(self, value: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
        """Moves frames in time, makes them louder or quieter, adds noise, and masks bands and frames."""
        from trainer_module.examples.sound_changes import change_sound

        return change_sound(value, seed, config)

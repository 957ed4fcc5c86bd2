"""Sounds: log-mel patches, averaged over their places and over the patches that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config import AugmentationConfig
from finetune.config.augmentation import SOUND_CHANGES
from finetune.errors import BackboneError
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


class Audio:
    """Log-mel patches of a sound, of which those that are zero throughout stand for none."""

    augments = frozenset({*SOUND_CHANGES, "mixup", "views"})

    def network_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        import tf_keras as keras

        return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)

    def prepare(self, value: keras.KerasTensor, record: Backbone) -> keras.KerasTensor:
        return value

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

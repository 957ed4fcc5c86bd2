"""Pictures: scaled as the backbone knows them, averaged over their places, changed at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config import AugmentationConfig
from finetune.config.augmentation import SOUND_CHANGES
from finetune.errors import BackboneError
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


class Image:
    """Pictures of the backbone's size in [0, 255]."""

    augments = frozenset(AugmentationConfig.model_fields) - {"word_dropout", *SOUND_CHANGES}

    def network_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        import tf_keras as keras

        return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name="pixels")

    def prepare(self, value: keras.KerasTensor, record: Backbone) -> keras.KerasTensor:
        from trainer_module.layers import Scale

        return Scale(record.scaling, name="scale")(value)

    def pool(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Averages a map [batch, height, width, channels]; pools patches [batch, patches, channels] like words."""
        import tf_keras as keras

        from trainer_module.layers import PoolWords

        rank = len(features.shape)
        if rank not in (3, 4):
            raise BackboneError(
                f"backbone: its features have the shape {list(features.shape)}; expected of pictures a map "
                "[batch, height, width, channels], patches [batch, patches, channels] or a vector [batch, channels]."
            )
        return (keras.layers.GlobalAveragePooling2D if rank == 4 else PoolWords)(name=name)(features)

    def augment(self, value: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
        """Crops, turns, flips, recolours and erases."""
        from trainer_module.examples.augmentation import augment

        return augment(value, seed, config)

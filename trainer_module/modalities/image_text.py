"""Pictures with words: both sides are changed as their own modality does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config import AugmentationConfig
from trainer_module.modalities.image import Image
from trainer_module.modalities.text import Text
from transforms.backbone import Backbone
from transforms.features import IMAGE, TEXT

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


# Halfway between two examples lies no sentence.
_OF_PAIRS = frozenset({"mixup", "cutmix"})


class ImageText:
    """What `transforms.inputs.SideInputs` reads."""

    def __init__(self, image: Image, text: Text):
        """Takes the modalities of the sides."""
        self._of_sides: dict[str, Image | Text] = {IMAGE: image, TEXT: text}
        self.augments = (image.augments | text.augments) - _OF_PAIRS

    def network_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """Returns an input like the tensor: each side is asked for its own."""
        import tf_keras as keras

        return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)

    def prepare(self, value: keras.KerasTensor, record: Backbone) -> keras.KerasTensor:
        """Returns the value: each side is prepared as its own modality does it."""
        return value

    def pool(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns the features: what joins the sides gives one vector."""
        return features

    def augment(self, value: dict[str, tf.Tensor], seed: tf.Tensor, config: AugmentationConfig) -> dict[str, tf.Tensor]:
        """Changes both sides."""
        return {**value, **{side: each.augment(value[side], seed, config) for side, each in self._of_sides.items()}}

"""What a modality asks of the network: its input, how features are pooled, and what augmentation changes.

One modality more is one file with an object like those in `MODALITIES`, and one line there;
`trainer_module.modalities.contract.check_modality` is its contract. TensorFlow is imported by the methods that need it,
so that a config is checked without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from finetune.config import AugmentationConfig
from trainer_module.modalities.audio import Audio
from trainer_module.modalities.image import Image
from trainer_module.modalities.image_text import ImageText
from trainer_module.modalities.text import Text
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras


class Modality(Protocol):
    """What the Trainer asks of a modality."""

    augments: frozenset[str]  # Keys of the section `augmentation` that say anything about it.

    def network_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the network's own input in place of one of the backbone's, with the name that it is given by."""

    def prepare(self, value: keras.KerasTensor, record: Backbone) -> keras.KerasTensor:
        """Brings an input into the range that the backbone was trained with."""

    def pool(self, features: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Makes float32 [batch, channels] of features with three or more axes; `name` is that of the layer that pools.

        Raises:
            BackboneError: Features of this rank are none of this modality.
        """

    def augment(self, value: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
        """Changes one training example at random, from what its `Inputs.read` gives to what `Inputs.finish` takes.

        The same seed, int64 [2], makes the same change.
        """


MODALITIES: dict[str, Modality] = {
    "audio": Audio(),
    "image": Image(),
    "image_text": ImageText(Image(), Text()),
    "text": Text(),
}

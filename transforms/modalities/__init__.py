"""What a modality asks of Transform: the raw feature, what is made of it, and how a network reads that.

One modality more is one file with an object like those in `MODALITIES`, and one line there;
`transforms.modalities.contract.check_modality` is its contract. TensorFlow is imported by the methods that need it, so
that settings and plans are made without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from finetune.run_time import plain
from transforms.backbone import Backbone
from transforms.modalities.audio import Audio
from transforms.modalities.image import Image
from transforms.modalities.image_text import ImageText
from transforms.modalities.text import Text

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from transforms.inputs import Inputs


class Modality(Protocol):
    """What Transform asks of a modality."""

    raw: str  # Name of the raw feature: one bytes value an example, which is also what a serving request holds.
    keys: tuple[str, ...]  # Keys of a config beside the section `data` that are about this modality.
    # Whether later runs read what `transform` makes of an example, as making it takes longer than reading it back.
    kept: bool

    def describe(self, record: Backbone) -> str:
        """Says in a few words what a backbone is shown, such as `224 x 224`."""

    def settings(self, record: Backbone) -> dict[str, Any]:
        """Returns what `transform` depends on, and nothing else: JSON's types, and values of `finetune.run_time`."""

    def transform(self, values: tf.Tensor, settings: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Makes the features that the Trainer reads, in operations that training and serving share.

        The values are string [batch], the raw feature; the settings are what `settings` returns.
        """

    def inputs(self, record: Backbone, transform_output: tft.TFTransformOutput) -> Inputs:
        """Says how a network reads those features."""


MODALITIES: dict[str, Modality] = {
    "audio": Audio(),
    "image": Image(),
    "image_text": ImageText(Image(), Text()),
    "text": Text(),
}


def transform_settings(record: Backbone) -> dict[str, Any]:
    """Returns what preprocessing depends on, as plain data with run-time values in it.

    There is nothing else in it, so that no other change reruns Transform.
    """
    return plain({"modality": record.modality, **MODALITIES[record.modality].settings(record)})

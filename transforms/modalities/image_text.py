"""Pictures with words: both sides go through what their own modality does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features
from transforms.backbone import Backbone
from transforms.modalities.image import Image
from transforms.modalities.text import Text

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from transforms.inputs import SideInputs

# What is decoded where there is no picture: a grey one of one pixel, as a PNG file.
NO_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a4944415478da63680000008200"
    "81da45083b0000000049454e44ae426082"
)


class ImageText:
    """A picture and a text, either of which may be missing (`transforms.sides`). A record has both in `sides`."""

    raw = features.IMAGE_TEXT
    kept = True

    def __init__(self, image: Image, text: Text):
        """Takes the modalities of the sides."""
        self._of_sides: dict[str, Image | Text] = {features.IMAGE: image, features.TEXT: text}
        self.keys = (*image.keys, *text.keys)

    def describe(self, record: Backbone) -> str:
        """Says what both are shown."""
        return " and ".join(each.describe(record.sides[side]) for side, each in self._of_sides.items())

    def settings(self, record: Backbone) -> dict[str, Any]:
        """Returns those of each side, by its name."""
        return {side: each.settings(record.sides[side]) for side, each in self._of_sides.items()}

    def transform(self, values: tf.Tensor, settings: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Makes what both sides make, and `there`: int64 [batch, 2], 1 for each side that is not empty."""
        import tensorflow as tf

        from transforms.sides import SIDES, unpacked

        found = unpacked(values)
        is_there = [tf.strings.length(tf.strings.strip(found[side])) > 0 for side in SIDES]
        found[features.IMAGE] = tf.where(is_there[0], found[features.IMAGE], NO_PICTURE)
        made = {features.THERE: tf.cast(tf.stack(is_there, axis=1), tf.int64)}
        for side, each in self._of_sides.items():
            made |= each.transform(found[side], settings[side])
        return made

    def inputs(self, record: Backbone, transform_output: tft.TFTransformOutput) -> SideInputs:
        """Reads those of pictures, and all other features that were made as those of the text."""
        from transforms.inputs import SideInputs, TensorInputs, made_features

        image = self._of_sides[features.IMAGE].inputs(record.sides[features.IMAGE], transform_output)
        others = {*image.feature_spec(), features.THERE}
        made = made_features(transform_output)
        spec = {name: each for name, each in made.items() if name not in others}
        return SideInputs(
            image, TensorInputs(spec, features.TEXT, features.TEXT), {features.THERE: made[features.THERE]}
        )

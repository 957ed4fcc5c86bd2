"""Pictures: the bytes of an image file become pixels of the backbone's size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from transforms.inputs import ImageInputs


class Image:
    """JPEG, PNG, BMP and GIF files."""

    raw = features.IMAGE
    keys: tuple[str, ...] = ("backbone.image_size", "backbone.scaling", "backbone.arguments")
    kept = True

    def describe(self, record: Backbone) -> str:
        return f"{record.image_size} x {record.image_size}"

    def settings(self, record: Backbone) -> dict[str, Any]:
        return {"image_size": record.image_size}

    def transform(self, values: tf.Tensor, settings: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Makes `pixels`: string [batch], serialised uint8 [size, size, 3] (`transforms.image.decode_and_resize`)."""
        from transforms.image import decode_and_resize

        return {features.PIXELS: decode_and_resize(values, settings["image_size"])}

    def inputs(self, record: Backbone, transform_output: tft.TFTransformOutput) -> ImageInputs:
        from transforms.inputs import ImageInputs

        return ImageInputs(record.image_size)

"""What a network reads of a transformed example: for each modality, the features, and how they become its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from transforms import features
from transforms.image import parse_pixels

# What the network takes: one tensor, or several by name.
NetworkInput = tf.Tensor | dict[str, tf.Tensor]


class Inputs(Protocol):
    """The way from what Transform writes to what the network takes, the same in training and in serving.

    Attributes:
        raw: Name of the raw feature that Transform makes it from.
    """

    raw: str

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """How the transformed features of one example are parsed."""

    def read(self, parsed: Mapping[str, tf.Tensor]) -> NetworkInput:
        """Reads one parsed example, as it is before augmentation."""

    def finish(self, value: NetworkInput) -> NetworkInput:
        """Brings what `read` or augmentation returned into the network's type."""

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> NetworkInput:
        """Reads a batch straight from Transform's outputs: `read` and `finish` of each example."""


@dataclass(frozen=True)
class ImageInputs:
    """Pictures: uint8 [size, size, 3] when read, float32 in [0, 255] when finished.

    Attributes:
        image_size: Height and width in pixels.
    """

    image_size: int
    raw: str = features.IMAGE

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """Pixels travel as one serialised tensor."""
        return {features.PIXELS: tf.io.FixedLenFeature([], tf.string)}

    def read(self, parsed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns uint8 [size, size, 3]."""
        return parse_pixels(parsed[features.PIXELS], self.image_size)

    def finish(self, value: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the same shape."""
        return tf.cast(value, tf.float32)

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [batch, size, size, 3]."""
        spec = tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8)
        return self.finish(
            tf.map_fn(
                lambda one: parse_pixels(one, self.image_size), transformed[features.PIXELS], fn_output_signature=spec
            )
        )

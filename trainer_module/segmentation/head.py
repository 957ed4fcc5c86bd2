"""The head of a network that tells pixels apart: a decoder on features of several strides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config import HeadConfig
from finetune.errors import BackboneError
from trainer_module.pyramid import Convolutions, merged, opened

# Coarse to fine; what is said of the last one's cells is spread over their pixels.
STRIDES = (32, 16, 8, 4)


@dataclass(frozen=True)
class SegmentationHead:
    """Pixels are told apart on the last map of each stride that the backbone gives."""

    of_classes: str = "logits"
    strides: tuple[int, ...] = STRIDES

    def opened(self, backbone: keras.Model) -> keras.Model:
        """Returns the backbone with a map of each of STRIDES as outputs.

        Raises:
            BackboneError: It has none, or its pictures cannot be cut into cells of the largest stride.
        """
        found = opened(backbone, STRIDES, "masks")
        size = backbone.inputs[0].shape[1]
        if size % STRIDES[0]:
            nearest = max(round(size / STRIDES[0]), 1) * STRIDES[0]
            raise BackboneError(
                f"backbone.image_size: got {size}; masks are made of cells of {STRIDES[0]} pixels and parts of them. "
                f"Expected a multiple of that, such as {nearest}."
            )
        return found

    def add(self, features: list[tf.Tensor], pool: Any, head: HeadConfig, classes: int, seed: int) -> tf.Tensor:
        """See `add_segmentation_head`; nothing is pooled, and of the config's head there is nothing in it."""
        return add_segmentation_head(features, classes, seed)


def add_segmentation_head(features: list[tf.Tensor], classes: int, seed: int) -> tf.Tensor:
    """Adds a decoder: maps merged from coarse to fine, two convolutions, and logits brought to the picture's size.

    A feature pyramid with one finest map stands in place of U-Net's mirrored encoder, as in Kirillov et al. 2019,
    "Panoptic feature pyramid networks" (arXiv 1901.02446), section 3.

    Args:
        features: float32 [batch, height, width, channels] each, of STRIDES.

    Returns:
        Probabilities float32 [batch, size, size, classes], those of a pixel adding up to 1.
    """
    convolve = Convolutions(seed)
    finest = merged(features, STRIDES, convolve)
    tower = convolve(convolve(finest, "pixels_1", 3), "pixels_2", 3)
    small = keras.initializers.RandomNormal(stddev=0.01, seed=convolve.next_seed())
    logits = keras.layers.Conv2D(classes, 1, kernel_initializer=small, name="logits", dtype="float32")(tower)
    # Of networks without padding, maps lack a few cells at the border.
    size = round(logits.shape[1] * STRIDES[-1] / STRIDES[0]) * STRIDES[0]
    spread = keras.layers.Resizing(size, size, "bilinear", name="spread", dtype="float32")(logits)
    return keras.layers.Softmax(name="probabilities", dtype="float32")(spread)

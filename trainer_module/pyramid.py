"""Maps from inside a backbone, merged from coarse to fine as in feature pyramids.

Lin et al. 2017, "Feature pyramid networks for object detection" (arXiv 1612.03144).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.errors import BackboneError

CHANNELS = 96
GROUPS = 12


def taps(backbone: keras.Model, strides: Sequence[int], what: str) -> list[tf.Tensor]:
    """Returns the features to build on: of each stride the output of the backbone's last layer that has it.

    Args:
        strides: Pixels of the picture a cell.
        what: Is built on them, for messages.

    Raises:
        BackboneError: The backbone gives no map at one of them.
    """
    found, image_size = {}, backbone.inputs[0].shape[1]
    for layer in backbone.layers:
        output = layer.output
        if isinstance(output, list | dict) or len(output.shape) != 4 or None in output.shape[1:]:
            continue
        # Networks without padding lose a few cells at the border.
        stride = 2 ** round(math.log2(image_size / output.shape[1]))
        padding = isinstance(layer, keras.layers.ZeroPadding2D)
        if stride in strides and not padding:
            found[stride] = output
    missing = [stride for stride in strides if stride not in found]
    if missing:
        raise BackboneError(
            f"backbone: {backbone.name} has no feature map of {' and '.join(map(str, missing))} pixels a cell; {what} "
            f"are found on maps of {', '.join(map(str, strides))}. Take a convolutional network that Keras builds "
            "layer by layer, such as MobileNetV2."
        )
    return [found[stride] for stride in strides]


def opened(backbone: keras.Model, strides: Sequence[int], what: str) -> keras.Model:
    """Returns the backbone with a map of each stride as outputs, and with its digest; see `taps`."""
    found = keras.Model(backbone.inputs, taps(backbone, strides, what), name=backbone.name)
    found.weights_sha256 = backbone.weights_sha256
    return found


class Convolutions:
    """Makes convolutions with normalisation of groups and ReLU, each with seeds of its own, counted from one on."""

    def __init__(self, seed: int):
        self._seeds = iter(range(seed, seed + 100))

    def next_seed(self) -> int:
        """Returns one that nothing else has."""
        return next(self._seeds)

    def __call__(self, x: tf.Tensor, name: str, size: int) -> tf.Tensor:
        """Adds one of CHANNELS channels, separable where its kernel has more than one cell."""
        kind = keras.layers.Conv2D if size == 1 else keras.layers.SeparableConv2D
        arguments: dict[str, Any] = {
            "kernel_initializer" if size == 1 else "depthwise_initializer": keras.initializers.HeNormal(
                self.next_seed()
            )
        }
        if size > 1:
            arguments["pointwise_initializer"] = keras.initializers.HeNormal(self.next_seed())
        x = kind(CHANNELS, size, padding="same", use_bias=False, name=name, dtype="float32", **arguments)(x)
        x = keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm", dtype="float32")(x)
        return keras.layers.ReLU(name=f"{name}_relu", dtype="float32")(x)


def merged(features: Sequence[tf.Tensor], strides: Sequence[int], convolve: Convolutions) -> tf.Tensor:
    """Merges maps, float32 [batch, height, width, channels] from coarse to fine, into one of the last one's size."""
    found = None
    for stride, each in zip(strides, features, strict=True):
        lateral = convolve(each, f"neck_{stride}", 1)
        if found is not None:
            size = lateral.shape[1:3]
            lateral = lateral + keras.layers.Resizing(*size, "nearest", name=f"neck_{stride}_up")(found)
        found = convolve(lateral, f"neck_{stride}_merged", 3)
    return found

"""The head of a detector: features of several strides brought to one grid, and what is said of each of its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config import HeadConfig
from finetune.errors import BackboneError

# Coarse to fine; the grid has the last one's cells. Objects smaller than a cell are hardly found.
STRIDES = (32, 16, 8)
CHANNELS = 96
GROUPS = 12
# Of every hundred cells, one has a centre: what the head says before it has learned anything (Lin et al. 2017, section
# 3.3, "initialization").
PRIOR = 0.01
# Distances are e to the power of a number: at most e^5 cells.
LARGEST_LOG = 5.0


def taps(backbone: keras.Model) -> list[tf.Tensor]:
    """Returns the features to build on: of each stride of STRIDES the output of the backbone's last layer that has it.

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
        if stride in STRIDES and not padding:
            found[stride] = output
    missing = [stride for stride in STRIDES if stride not in found]
    if missing:
        raise BackboneError(
            f"backbone: {backbone.name} has no feature map of {' and '.join(map(str, missing))} pixels a cell; boxes "
            f"are found on maps of {', '.join(map(str, STRIDES))}. Take a convolutional network that Keras builds "
            "layer by layer, such as MobileNetV2."
        )
    return [found[stride] for stride in STRIDES]


@dataclass(frozen=True)
class DetectionHead:
    """Boxes are found on the last map of each stride that the backbone gives."""

    of_classes: str = "centre"

    def opened(self, backbone: keras.Model) -> keras.Model:
        """Returns the backbone with a map of each of STRIDES as outputs."""
        maps = taps(backbone)
        opened = keras.Model(backbone.inputs, maps, name=backbone.name)
        opened.weights_sha256 = backbone.weights_sha256
        return opened

    def add(self, features: list[tf.Tensor], pool: Any, head: HeadConfig, classes: int, seed: int) -> tf.Tensor:
        """See `add_detection_head`; nothing is pooled, and of the config's head there is nothing in it."""
        return add_detection_head(features, classes, seed)


def add_detection_head(features: list[tf.Tensor], classes: int, seed: int) -> tf.Tensor:
    """Adds a neck as in feature pyramids (Lin et al. 2017, arXiv 1612.03144) down to one grid, and a tower on it.

    Args:
        features: float32 [batch, height, width, channels] each, from coarse to fine.

    Returns:
        float32 [batch, height, width, classes + 4], as `trainer_module.detection.decoding.split` takes it.
    """
    seeds = iter(range(seed, seed + 100))

    def convolve(x: tf.Tensor, name: str, size: int) -> tf.Tensor:
        kind = keras.layers.Conv2D if size == 1 else keras.layers.SeparableConv2D
        arguments = {
            "kernel_initializer" if size == 1 else "depthwise_initializer": keras.initializers.HeNormal(next(seeds))
        }
        if size > 1:
            arguments["pointwise_initializer"] = keras.initializers.HeNormal(next(seeds))
        x = kind(CHANNELS, size, padding="same", use_bias=False, name=name, dtype="float32", **arguments)(x)
        x = keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm", dtype="float32")(x)
        return keras.layers.ReLU(name=f"{name}_relu", dtype="float32")(x)

    merged = None
    for stride, each in zip(STRIDES, features, strict=True):
        lateral = convolve(each, f"neck_{stride}", 1)
        if merged is not None:
            size = lateral.shape[1:3]
            lateral = lateral + keras.layers.Resizing(*size, "nearest", name=f"neck_{stride}_up")(merged)
        merged = convolve(lateral, f"neck_{stride}_merged", 3)
    centre = convolve(convolve(merged, "centre_1", 3), "centre_2", 3)
    edges = convolve(convolve(merged, "edges_1", 3), "edges_2", 3)
    unsure = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    small = keras.initializers.RandomNormal(stddev=0.01, seed=next(seeds))
    heat = keras.layers.Conv2D(
        classes, 1, activation="sigmoid", kernel_initializer=small, bias_initializer=unsure, name="centre"
    )(centre)
    logs = keras.layers.Conv2D(
        4,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=next(seeds)),
        bias_initializer=keras.initializers.Constant(1.0),
        name="edges",
    )(edges)
    distances = keras.layers.Lambda(lambda x: tf.exp(tf.minimum(x, LARGEST_LOG)), name="distances")(logs)
    return keras.layers.Concatenate(name="answer")([heat, distances])

"""The head of a detector: features of several strides brought to one grid, and what is said of each of its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config import HeadConfig
from trainer_module.pyramid import Convolutions, merged, opened

# Coarse to fine; the grid has the last one's cells. Objects smaller than a cell are hardly found.
STRIDES = (32, 16, 8)
# Of every hundred cells, one has a centre: what the head says before it has learned anything (Lin et al. 2017, section
# 3.3, "initialization").
PRIOR = 0.01
# Distances are e to the power of a number: at most e^5 cells.
LARGEST_LOG = 5.0


@dataclass(frozen=True)
class DetectionHead:
    """Boxes are found on the last map of each stride that the backbone gives."""

    of_classes: str = "centre"
    strides: tuple[int, ...] = STRIDES

    def opened(self, backbone: keras.Model) -> keras.Model:
        """Returns the backbone with a map of each of STRIDES as outputs."""
        return opened(backbone, STRIDES, "boxes")

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
    convolve = Convolutions(seed)
    finest = merged(features, STRIDES, convolve)
    centre = convolve(convolve(finest, "centre_1", 3), "centre_2", 3)
    edges = convolve(convolve(finest, "edges_1", 3), "edges_2", 3)
    unsure = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    small = keras.initializers.RandomNormal(stddev=0.01, seed=convolve.next_seed())
    heat = keras.layers.Conv2D(
        classes, 1, activation="sigmoid", kernel_initializer=small, bias_initializer=unsure, name="centre"
    )(centre)
    logs = keras.layers.Conv2D(
        4,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=convolve.next_seed()),
        bias_initializer=keras.initializers.Constant(1.0),
        name="edges",
    )(edges)
    distances = keras.layers.Lambda(lambda x: tf.exp(tf.minimum(x, LARGEST_LOG)), name="distances")(logs)
    return keras.layers.Concatenate(name="answer")([heat, distances])

"""The network: a backbone with its weights, the input operation that belongs to it, and a head on top."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from pipeline.config import BackboneConfig, TrainingConfig
from trainer_module.catalogue_backbone import catalogue_backbone
from trainer_module.heads import add_head
from trainer_module.hub_backbone import hub_backbone
from transforms.backbones import Scaling
from transforms.image import scale


def build_backbone(config: BackboneConfig) -> tuple[keras.Model, str | None]:
    """Builds the backbone that the config asks for, with its weights.

    Returns:
        A functional model from float32 [batch, size, size, 3], in the range of its record's `scaling`, to a feature
        map float32 [batch, height, width, channels] or a feature vector float32 [batch, channels]; and the sha256 of
        its weights, None for random ones.

    Raises:
        BackboneError: The name, an argument, the input size or the weights cannot be used.
    """
    if config.handle:
        return hub_backbone(config)
    return catalogue_backbone(config)


def build_model(backbone: keras.Model, scaling: Scaling, training: TrainingConfig, classes: int) -> keras.Model:
    """Puts input scaling before the backbone and a head behind it.

    Unless `batch_norm` is `train`, the backbone is called in inference mode: its BatchNorm layers use their stored
    statistics and never update them, while frozen and after unfreezing alike, so that a small data set cannot spoil
    what pretraining measured. With `train` they follow the model, and Keras keeps those of frozen layers as they are.

    Args:
        backbone: From `build_backbone`.
        scaling: As in `transforms.backbones.Backbone.scaling`.
        training: The head, the BatchNorm policy, and the seed of the head's initial weights and dropout.
        classes: Number of classes.

    Returns:
        A model from [batch, size, size, 3] in [0, 255] to probabilities float32 [batch, classes].
    """
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    mode = {} if training.batch_norm == "train" else {"training": False}
    features = backbone(_Scale(scaling, name="scale")(pixels), **mode)
    return keras.Model(pixels, add_head(features, training.head, classes, training.seed))


class _Scale(keras.layers.Layer):
    def __init__(self, scaling: Scaling, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._scaling = scaling

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        return scale(pixels, self._scaling)

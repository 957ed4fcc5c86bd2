"""The network: a backbone with its weights, the input operation that belongs to it, and a head on top."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
import tf_keras as keras

from pipeline.config import BackboneConfig, TrainingConfig
from pipeline.errors import BackboneError
from trainer_module.heads import add_head
from trainer_module.small_cnn import small_cnn
from trainer_module.word_vectors import word_vectors
from transforms.backbones import OWN, WORD_VECTORS, Backbone, Scaling, backbone_record
from transforms.image import scale
from transforms.settings import vocabulary_path
from transforms.word_table import read_word_table


def build_network(config: BackboneConfig, training: TrainingConfig, classes: int) -> tuple[keras.Model, keras.Model]:
    """Builds the backbone, and the whole network around it.

    With `training.mixed_precision`, the backbone alone computes in half precision: its variables, the scaling of pixels
    and the head are float32.
    """
    policy = {"off": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}[training.mixed_precision]
    keras.mixed_precision.set_global_policy(policy)
    try:
        backbone = build_backbone(config)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return backbone, build_model(backbone, backbone_record(config.name).scaling, training, classes)


def in_float32(model: keras.Model, config: BackboneConfig, training: TrainingConfig, classes: int) -> keras.Model:
    """Returns the network with the same weights that computes in float32 throughout: what is exported."""
    if training.mixed_precision == "off":
        return model
    random, exact = config.with_random_weights(), {"mixed_precision": "off"}
    _, copy = build_network(random, training.model_copy(update=exact), classes)
    copy.set_weights(model.get_weights())
    return copy


def build_backbone(config: BackboneConfig) -> keras.Model:
    """Builds the backbone without its top and loads its weights.

    Returns:
        A functional model from float32 [batch, size, size, 3], in the range of its record's `scaling`, to a feature
        map float32 [batch, height, width, channels]; of texts, see `trainer_module.word_vectors`.

    Raises:
        BackboneError: The name, an argument, the input size or the weights cannot be used.
    """
    record = backbone_record(config.name)
    size = config.image_size or record.image_size
    if record.source == WORD_VECTORS:
        table = read_word_table(vocabulary_path(config))
        return word_vectors(table, config.text.unknown_words, config.text.max_words, config.weights == "random")
    weights = _checked_weights(config, record)
    if record.source == OWN:
        if config.arguments:
            raise BackboneError(f"backbone.arguments: got {config.arguments}; {record.name} takes none.")
        backbone = small_cnn(size)
        if weights:
            _load_weights(backbone, weights)
        return backbone
    arguments: dict[str, Any] = {"include_top": False, "input_shape": (size, size, 3), **config.arguments}
    try:
        backbone = getattr(keras.applications, record.name)(weights=None, **arguments)
    except TypeError as error:
        raise BackboneError(f"backbone.arguments: got {config.arguments}; {record.name} says: {error}") from None
    except ValueError as error:
        raise BackboneError(f"backbone: {record.name} with {arguments} cannot be built: {error}") from None
    if weights == "imagenet":
        return _imagenet_weights(record, arguments)
    if weights:
        _load_weights(backbone, weights)
    return backbone


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
        A model from [batch, size, size, 3] in [0, 255], or from what the backbone of texts takes, to probabilities
        float32 [batch, classes].
    """
    mode = {} if training.batch_norm == "train" else {"training": False}
    inputs = tf.nest.map_structure(_same_input, backbone.input)
    feature_map = backbone(_Scale(scaling, name="scale")(inputs) if _is_image(inputs) else inputs, **mode)
    return keras.Model(inputs, add_head(feature_map, training.head, classes, training.seed))


def _same_input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    name = "pixels" if _is_image(tensor) else tensor.name
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)


def _is_image(inputs: Any) -> bool:
    return not tf.nest.is_nested(inputs) and inputs.shape.rank == 4


class _Scale(keras.layers.Layer):
    def __init__(self, scaling: Scaling, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._scaling = scaling

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        return scale(pixels, self._scaling)


def _checked_weights(config: BackboneConfig, record: Backbone) -> str | None:
    """Returns `imagenet`, the path of a file that exists, or None for random weights."""
    if config.weights == "random":
        return None
    if config.weights == "imagenet":
        if not record.has_imagenet_weights:
            raise BackboneError(
                f"backbone.weights: got imagenet; {record.name} has none. Give the path of a weights file, or random."
            )
        return "imagenet"
    if not os.path.isfile(config.weights):
        raise BackboneError(
            f"backbone.weights: got {config.weights!r}, which is not a file; expected imagenet, random, or the path of "
            f"an .h5 file with the weights of {record.name} without its top."
        )
    return config.weights


def _imagenet_weights(record: Backbone, arguments: dict[str, Any]) -> keras.Model:
    try:
        return getattr(keras.applications, record.name)(weights="imagenet", **arguments)
    except Exception as error:
        raise BackboneError(
            f"backbone.weights: imagenet weights of {record.name} with {arguments} could not be had: {error}\n"
            "They are downloaded once and kept in ~/.keras/models. Without a network, copy the file there, or give "
            "its path as backbone.weights."
        ) from error


def _load_weights(backbone: keras.Model, path: str) -> None:
    try:
        backbone.load_weights(path)
    except (ValueError, OSError, KeyError, tf.errors.OpError) as error:
        shapes = f"{len(backbone.layers)} layers, {backbone.count_params():,} parameters"
        raise BackboneError(
            f"backbone.weights: {path!r} does not fit {backbone.name} without its top ({shapes}): {error}\n"
            "Check backbone.name, backbone.arguments (such as alpha) and that the file was saved without its top."
        ) from None

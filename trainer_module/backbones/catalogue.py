"""The networks of the catalogue: Keras' applications and our own, with the weights that a config names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf
import tf_keras as keras
from tf_keras.src.utils import data_utils

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.small_cnn import small_cnn
from trainer_module.backbones.weights_file import load_weights
from trainer_module.backbones.word_vectors import word_vectors
from transforms.backbones import OWN, WORD_VECTORS, Backbone, record_of
from transforms.settings import vocabulary_path
from transforms.word_table import read_word_table


def catalogue_backbone(config: BackboneConfig) -> tuple[keras.Model, str | None]:
    """Builds a backbone of the catalogue without its top.

    Returns:
        The model, and the sha256 of its weights file; None for random weights.

    Raises:
        BackboneError: The name, an argument, the input size or the weights cannot be used.
    """
    record = record_of(config)
    if config.weights == "imagenet" and not record.has_imagenet_weights:
        raise BackboneError(
            f"backbone.weights: got imagenet; {record.name} has none. Give the path of a weights file, or random."
        )
    if record.source == WORD_VECTORS:
        path = Path(vocabulary_path(config))
        digest = None if config.weights == "random" else check_sha256(path, config.sha256)
        return word_vectors(
            read_word_table(str(path)), config.text.unknown_words, config.text.max_words, config.weights == "random"
        ), digest
    if config.weights == "imagenet":
        backbone, path = _with_imagenet_weights(record, config.arguments)
        return backbone, check_sha256(path, config.sha256)
    backbone = _network(record, config.arguments)
    if config.weights == "random":
        return backbone, None
    path = Path(config.weights)
    if not path.is_file():
        raise BackboneError(
            f"backbone.weights: got {config.weights!r}, which is not a file; expected imagenet, random, or the path of "
            f"an .h5 file with the weights of {record.name} without its top."
        )
    digest = check_sha256(path, config.sha256)
    load_weights(backbone, path)
    return backbone, digest


# Keras' layers are no library to AutoGraph, which would rewrite each of them: half of the time that it takes to build.
@tf.autograph.experimental.do_not_convert
def _network(record: Backbone, arguments: dict[str, Any], weights: str | None = None) -> keras.Model:
    if record.source == OWN:
        if arguments:
            raise BackboneError(f"backbone.arguments: got {arguments}; {record.name} takes none.")
        return small_cnn(record.image_size)
    arguments = {"include_top": False, "input_shape": (record.image_size, record.image_size, 3), **arguments}
    try:
        return getattr(keras.applications, record.name)(weights=weights, **arguments)
    except TypeError as error:
        raise BackboneError(f"backbone.arguments: got {arguments}; {record.name} says: {error}") from None
    except ValueError as error:
        raise BackboneError(f"backbone: {record.name} with {arguments} cannot be built: {error}") from None


def _with_imagenet_weights(record: Backbone, arguments: dict[str, Any]) -> tuple[keras.Model, Path]:
    """Has Keras download the weights, unless its cache has them; returns the network, and where its weights are."""
    fetched: list[str] = []
    get_file = data_utils.get_file

    def recorded(*args: Any, **kwargs: Any) -> str:
        fetched.append(get_file(*args, **kwargs))
        return fetched[-1]

    try:
        # Only a constructor of Keras knows the name of its file.
        with mock.patch.object(data_utils, "get_file", recorded):
            network = _network(record, arguments, weights="imagenet")
    except Exception as error:
        raise BackboneError(
            f"backbone.weights: imagenet weights of {record.name} with {arguments} could not be had: {error}\n"
            "They are downloaded once and kept in ~/.keras/models. Without a network, copy the file there, or give "
            "its path as backbone.weights."
        ) from error
    return network, Path(fetched[-1])

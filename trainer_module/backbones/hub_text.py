"""Encoders of texts as SavedModels: of strings, or of what a preprocessing SavedModel makes of them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.hub import LAYER, hub_layer, open_handle, raise_problems
from trainer_module.backbones.interface import interface_of, text_output, text_problems
from trainer_module.backbones.resolve import resolve_handle
from trainer_module.backbones.saved_model import read_saved_model
from transforms import features


def text_encoder(config: BackboneConfig) -> tuple[keras.Model, str]:
    """Loads an encoder.

    Returns:
        A model of one `hub.KerasLayer` to float32 [batch, channels]: from string [batch], or with a preprocessor, from
        what that makes of texts, by name, in int64; and the sha256 of the encoder.

    Raises:
        BackboneError: It cannot be loaded, or does not fit the config or the preprocessor.
    """
    saved, digest = open_handle(config)
    preprocessor = config.text.preprocessor
    made_by = read_saved_model(resolve_handle(preprocessor)) if preprocessor else None
    raise_problems(text_problems(saved, made_by, config))
    interface = interface_of(saved)
    layer = hub_layer(saved, text_output(saved, config))
    if not preprocessor:
        text = keras.Input((), dtype=tf.string, name=features.CLEAN_TEXT)
        return keras.Model(text, layer(text), name=LAYER), digest
    inputs = {
        tensor.name: keras.Input((tensor.shape or ())[1:], dtype=tf.int64, name=tensor.name)
        for tensor in interface.inputs
    }
    dtypes = {tensor.name: tensor.dtype for tensor in interface.inputs}
    return keras.Model(inputs, layer(_Cast(dtypes, name="cast")(inputs)), name=LAYER), digest


class _Cast(keras.layers.Layer):
    """Gives an encoder the types that it was made with."""

    def __init__(self, dtypes: dict[str, str], **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self._dtypes = dtypes

    def call(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: tf.cast(tensor, self._dtypes[name]) for name, tensor in inputs.items()}

"""Encoders of texts as SavedModels: of strings, or of what a preprocessing SavedModel makes of them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.hub import LAYER, hub_layer, interface_of, open_handle, resolve_handle
from trainer_module.backbones.saved_model import Interface, Tensor, read_saved_model
from transforms import features

# What encoders call the output that stands for the whole text, most wanted first.
_WHOLE_TEXT = ("pooled_output", "default")


def text_encoder(config: BackboneConfig) -> tuple[keras.Model, str]:
    """Loads an encoder.

    Returns:
        A model of one `hub.KerasLayer` to float32 [batch, channels]: from string [batch], or with a preprocessor, from
        what that makes of texts, by name, in int64; and the sha256 of the encoder.

    Raises:
        BackboneError: It cannot be loaded, or does not fit the config or the preprocessor.
    """
    saved, digest = open_handle(config)
    interface = interface_of(saved)
    output = config.output or _whole_text(interface)
    _check(interface, output, config)
    layer = hub_layer(saved, output)
    if not config.text.preprocessor:
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


def _whole_text(interface: Interface) -> str | None:
    names = [tensor.name for tensor in interface.outputs]
    return next((name for name in _WHOLE_TEXT if name in names), None) if len(names) > 1 else None


def _check(interface: Interface, output: str | None, config: BackboneConfig) -> None:
    """Holds the encoder's inputs and output against the config.

    Raises:
        BackboneError: With every difference, each naming both sides.
    """
    problems = []
    takes_strings = len(interface.inputs) == 1 and interface.inputs[0].dtype == "string"
    if config.text.preprocessor:
        made = interface_of(read_saved_model(resolve_handle(config.text.preprocessor))).outputs
        missing = [tensor for tensor in interface.inputs if tensor.name not in {other.name for other in made}]
        if missing or len(made) != len(interface.inputs):
            problems.append(
                f"backbone.text.preprocessor: it makes {_listed(made)}; the encoder takes {_listed(interface.inputs)}"
            )
    elif not takes_strings:
        problems.append(
            f"backbone.handle: the encoder takes {_listed(interface.inputs)}, and texts are strings; give the "
            "SavedModel that makes these of them as backbone.text.preprocessor"
        )
    outputs = {tensor.name: tensor for tensor in interface.outputs}
    if output is None and len(outputs) > 1:
        problems.append(f"backbone.output: missing; the encoder gives {_listed(interface.outputs)}")
    elif output is not None and output not in outputs:
        problems.append(f"backbone.output: got {output!r}; the encoder gives {_listed(interface.outputs)}")
    else:
        chosen = outputs[output] if output else interface.outputs[0]
        if not chosen.dtype.startswith("float") or (chosen.shape is not None and len(chosen.shape) != 2):
            problems.append(f"backbone.output: the encoder gives {chosen}; the head takes floats [any, channels]")
    if problems:
        raise BackboneError("\n".join(problems))


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(map(str, tensors))

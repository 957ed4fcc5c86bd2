"""A SavedModel of TF Hub or Kaggle Models, or one of your own in that format, as a backbone for pictures."""

from __future__ import annotations

import tensorflow_hub as hub
import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.interface import code_problems, picture_problems, serving_signature
from trainer_module.backbones.resolve import resolve_handle
from trainer_module.backbones.saved_model import SavedModel, read_saved_model

LAYER = "hub"


def open_handle(config: BackboneConfig) -> tuple[SavedModel, str]:
    """Resolves and reads a handle, for whatever kind of input.

    Returns:
        What the SavedModel says of itself, and its sha256.

    Raises:
        BackboneError: It cannot be had or read, has another digest than it should, or operations that reach outside.
    """
    folder = resolve_handle(config.source)
    model = read_saved_model(folder)
    digest = check_sha256(folder, config.sha256)
    raise_problems(code_problems(model, config))
    return model, digest


def hub_backbone(config: BackboneConfig) -> tuple[keras.Model, str]:
    """Loads an image backbone.

    Returns:
        A model of one `hub.KerasLayer`, from float32 [batch, size, size, 3] to the features, float32
        [batch, channels] or [batch, height, width, channels]; and the sha256 of the SavedModel.

    Raises:
        BackboneError: It cannot be loaded, or does not fit the config.
    """
    saved, digest = open_handle(config)
    raise_problems(picture_problems(saved, config))
    size = config.image_size
    pixels = keras.Input((size, size, 3), dtype="float32", name="image")
    layer = hub_layer(saved, config.output)
    return keras.Model(pixels, layer(pixels), name=LAYER), digest


def raise_problems(problems: list[str]) -> None:
    """Raises BackboneError with all of them, if there are any."""
    if problems:
        raise BackboneError("\n".join(problems))


def hub_layer(saved: SavedModel, output: str | None) -> hub.KerasLayer:
    """Loads a SavedModel as a layer that honours `trainable`, `training`, BatchNorm updates and penalties.

    Without a `__call__` it is its serving signature, and cannot be trained.
    """
    folder = str(saved.folder)
    if saved.call:
        # A model may name its only output; a bare tensor has the name "".
        output = output or saved.call.outputs[0].name or None
        return hub.KerasLayer(folder, trainable=True, output_key=output, name=LAYER, dtype="float32")
    name = serving_signature(saved)
    output = output or saved.signatures[name].outputs[0].name
    return hub.KerasLayer(folder, signature=name, output_key=output, name=LAYER, dtype="float32")

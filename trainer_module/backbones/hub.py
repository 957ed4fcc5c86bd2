"""A SavedModel of TF Hub or Kaggle Models, or one of your own in that format, as a backbone for pictures."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow_hub as hub
import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.saved_model import Interface, SavedModel, Tensor, read_saved_model

# TensorFlow Hub's variable for the folder of downloaded models; without it they go below the temporary folder.
CACHE_VARIABLE = "TFHUB_CACHE_DIR"
LAYER = "hub"


def resolve_handle(handle: str) -> Path:
    """Returns the folder of a SavedModel, downloading it if it is a URL that the cache does not hold.

    Raises:
        BackboneError: It cannot be had.
    """
    if "://" not in handle:
        return Path(handle)
    try:
        return Path(hub.resolve(handle))
    except Exception as error:  # Resolvers raise whatever their protocol does.
        raise BackboneError(
            f"backbone.handle: {handle} could not be downloaded: {error}\n"
            f"Without a network: download it elsewhere, unpack it, and give its folder as backbone.handle; or copy "
            f"that machine's folder of {CACHE_VARIABLE} here. {CACHE_VARIABLE} is "
            f"{os.environ.get(CACHE_VARIABLE) or 'not set: downloads go to a temporary folder'}."
        ) from error


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
    if model.unsafe_ops and not config.allow_unsafe:
        raise BackboneError(
            f"backbone.handle: {config.handle} has operations that run Python or touch files: "
            f"{', '.join(model.unsafe_ops)}. If you trust it, set backbone.allow_unsafe: true."
        )
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
    check_image_interface(saved, config)
    size = config.image_size
    pixels = keras.Input((size, size, 3), dtype="float32", name="image")
    layer = hub_layer(saved, config.output)
    return keras.Model(pixels, layer(pixels), name=LAYER), digest


def hub_layer(saved: SavedModel, output: str | None) -> hub.KerasLayer:
    """Loads a SavedModel as a layer that honours `trainable`, `training`, BatchNorm updates and penalties.

    Without a `__call__` it is its serving signature, and cannot be trained.
    """
    folder = str(saved.folder)
    if saved.call:
        return hub.KerasLayer(folder, trainable=True, output_key=output, name=LAYER, dtype="float32")
    name = serving_signature(saved)
    output = output or saved.signatures[name].outputs[0].name
    return hub.KerasLayer(folder, signature=name, output_key=output, name=LAYER, dtype="float32")


def interface_of(saved: SavedModel) -> Interface:
    """How the model is called as a backbone: its `__call__`, else its serving signature.

    Raises:
        BackboneError: It has neither.
    """
    if saved.call:
        return saved.call
    if not saved.signatures:
        raise BackboneError(
            f"{saved.folder}: it has neither a `__call__` nor a signature; nothing can be done with it."
        )
    return saved.signatures[serving_signature(saved)]


def serving_signature(saved: SavedModel) -> str:
    """`serving_default` if there is one, else the first."""
    return "serving_default" if "serving_default" in saved.signatures else next(iter(saved.signatures))


def check_image_interface(saved: SavedModel, config: BackboneConfig) -> None:
    """Holds the model's input and output against the config.

    Raises:
        BackboneError: With every difference, each naming both sides.
    """
    interface = interface_of(saved)
    problems = []
    size = config.image_size
    wanted = (None, size, size, 3)
    if len(interface.inputs) != 1:
        problems.append(
            f"backbone.handle: the model takes {_listed(interface.inputs)}; the pipeline gives one batch of pictures, "
            f"float32 [any, {size}, {size}, 3]"
        )
    else:
        (entry,) = interface.inputs
        if not entry.dtype.startswith("float"):
            problems.append(f"backbone.handle: the model takes {entry}; pictures are float32")
        elif entry.dtype != "float32" or not _fits(entry.shape, wanted):
            problems.append(
                f"backbone.image_size: got {size}, a batch of float32 [any, {size}, {size}, 3]; the model takes {entry}"
            )
    outputs = {tensor.name: tensor for tensor in interface.outputs}
    if config.output and (config.output not in outputs or (saved.call and list(outputs) == [""])):
        problems.append(f"backbone.output: got {config.output!r}; the model gives {_listed(interface.outputs)}")
    elif len(outputs) > 1 and not config.output:
        problems.append(f"backbone.output: missing; the model gives {_listed(interface.outputs)}")
    else:
        chosen = outputs[config.output] if config.output else interface.outputs[0]
        if not chosen.dtype.startswith("float") or (chosen.shape is not None and len(chosen.shape) not in (2, 4)):
            problems.append(
                f"backbone.handle: the model gives {chosen}; the head takes a feature vector [any, channels] or a "
                "feature map [any, height, width, channels] of floats"
            )
    if problems:
        raise BackboneError("\n".join(problems))


def _fits(shape: tuple[int | None, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    if shape is None:
        return True
    return len(shape) == len(wanted) and all(
        offered is None or asked is None or offered == asked for offered, asked in zip(shape, wanted, strict=True)
    )


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(map(str, tensors))

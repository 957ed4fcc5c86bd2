"""A Keras model in a file as a backbone: read without running what it brings along, and cut at a layer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import tf_keras as keras
from google.protobuf.message import DecodeError
from tf_keras.protobuf import saved_metadata_pb2

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.keras_config import (
    code_problem,
    cut_problems,
    read_config,
    shape_problems,
    suspects,
    unreadable,
)
from trainer_module.backbones.saved_model import read_saved_model


def keras_file_backbone(config: BackboneConfig) -> tuple[keras.Model, str]:
    """Loads a `.keras` or `.h5` file or the folder of a Keras SavedModel, for pictures.

    Returns:
        The model from float32 [batch, size, size, 3] to the output of `config.cut_at`, or of the last layer; and the
        sha256 of the file or folder.

    Raises:
        BackboneError: It cannot be read, may run code, does not fit the config, or has no such layer.
    """
    path = Path(config.source)
    digest = check_sha256(path, config.sha256)
    if not config.allow_unsafe:
        _refuse_code(path)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=not config.allow_unsafe)
    except Exception as error:  # Keras raises whatever its deserialisers do.
        raise BackboneError(
            f"backbone.file: {str(path)!r} cannot be loaded as a Keras model: {error}\n"
            "Expected a .keras or .h5 file with the whole model (one of weights alone goes with backbone.name as "
            "backbone.weights), or the folder of a SavedModel that Keras wrote."
        ) from error
    return _cut(model, config), digest


def _cut(model: keras.Model, config: BackboneConfig) -> keras.Model:
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not getattr(model, "_is_graph_network", False) or len(model.inputs) != 1:
        raise BackboneError(
            f"backbone.file: {config.file!r} is no network of layers with one input, and cannot be cut. Save it as a "
            "functional model, or export it and give it as backbone.handle."
        )
    size, shape = config.image_size, tuple(model.inputs[0].shape)
    names = [layer.name for layer in model.layers]
    problems = shape_problems(config, shape) or cut_problems(config, names)
    if problems:
        raise BackboneError("\n".join(problems))
    features = model.get_layer(config.cut_at).output if config.cut_at else model.outputs
    if isinstance(features, list):
        if len(features) != 1:
            raise BackboneError(f"backbone.cut_at: missing; {config.file!r} has {len(features)} outputs")
        (features,) = features
    backbone = keras.Model(model.inputs[0], features, name=model.name)
    if None in shape[1:]:
        pixels = keras.Input((size, size, 3), name="image")
        rebuilt = keras.models.clone_model(backbone, input_tensors=pixels)
        rebuilt.set_weights(backbone.get_weights())
        return rebuilt
    return backbone


def _refuse_code(path: Path) -> None:
    """Raises BackboneError where loading could run what the file brings along."""
    found = read_config(path)
    suspected = list(_in_folder(path)) if path.is_dir() else found.suspects if found else []
    if suspected:
        raise BackboneError(code_problem(str(path), suspected))


def _in_folder(path: Path) -> Iterator[str]:
    if not (path / "keras_metadata.pb").is_file():
        raise BackboneError(
            f"backbone.file: {str(path)!r} is a SavedModel that Keras did not write; give it as backbone.handle."
        )
    yield from read_saved_model(path).unsafe_ops
    try:
        metadata = saved_metadata_pb2.SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
        for node in metadata.nodes:
            yield from suspects(json.loads(node.metadata))
    except (OSError, ValueError, DecodeError) as error:
        raise BackboneError(unreadable(path, error)) from None

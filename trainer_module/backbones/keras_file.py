"""A Keras model in a file as a backbone: read without running what it brings along, and cut at a layer."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tf_keras as keras
from google.protobuf.message import DecodeError
from tf_keras.protobuf import saved_metadata_pb2

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError, did_you_mean
from trainer_module.backbones.saved_model import read_saved_model

# Where Keras' own classes live; what a file names of another module would be imported and called.
_OURS = re.compile(
    r"((tf_)?keras(\.src)?\.(api\._v2\.)?(keras\.)?)?"
    r"(layers|initializers|regularizers|constraints|activations|engine|models|src|mixed_precision|saving)(\..*)?"
    r"|(tf_)?keras|builtins"
)
# Layers that hold Python code.
_CODE = ("Lambda",)
# Operations of TensorFlow as layers, by the symbol that they call.
_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty")
_HARMLESS = re.compile(r"(math|nn|__operators__|image|linalg|signal|compat\.v1\.nn|keras\.backend)\.|[a-z_0-9]+$")


def keras_file_backbone(config: BackboneConfig) -> tuple[keras.Model, str]:
    """Loads a `.keras` or `.h5` file or the folder of a Keras SavedModel, for pictures.

    Returns:
        The model from float32 [batch, size, size, 3] to the output of `config.cut_at`, or of the last layer; and the
        sha256 of the file or folder.

    Raises:
        BackboneError: It cannot be read, may run code, does not fit the config, or has no such layer.
    """
    path = Path(config.file)
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
    wanted = (None, size, size, 3)
    fits = len(shape) == 4 and all(
        have in (None, want) or want is None for have, want in zip(shape, wanted, strict=True)
    )
    if not fits:
        raise BackboneError(
            f"backbone.image_size: got {size}, a batch of {list(wanted)}; {config.file!r} takes {list(shape)}"
        )
    names = [layer.name for layer in model.layers]
    if config.cut_at and config.cut_at not in names:
        raise BackboneError(
            f"backbone.cut_at: got {config.cut_at!r}; {config.file!r} has {len(names)} layers: {names[0]} ... "
            f"{names[-1]}." + did_you_mean(config.cut_at, names)
        )
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
    found = sorted(set(_unsafe(path)))
    if found:
        raise BackboneError(
            f"backbone.file: {str(path)!r} may run code when it is loaded: {', '.join(found)}. If you trust it, set "
            "backbone.allow_unsafe: true."
        )


def _unsafe(path: Path) -> Iterator[str]:
    try:
        if path.is_dir():
            if not (path / "keras_metadata.pb").is_file():
                raise BackboneError(
                    f"backbone.file: {str(path)!r} is a SavedModel that Keras did not write; give it as "
                    "backbone.handle."
                )
            yield from read_saved_model(path).unsafe_ops
            metadata = saved_metadata_pb2.SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
            for node in metadata.nodes:
                yield from _suspects(json.loads(node.metadata))
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from _suspects(json.loads(archive.read("config.json")).get("config"))
        else:
            with h5py.File(path, "r") as file:
                yield from _suspects(json.loads(file.attrs.get("model_config", "{}")))
    except (OSError, KeyError, ValueError, DecodeError, zipfile.BadZipFile) as error:
        raise BackboneError(
            f"backbone.file: {str(path)!r} is neither a .keras nor an .h5 file nor the folder of a SavedModel that can "
            f"be read ({error}); pickles and other formats are not loaded."
        ) from None


def _suspects(config: Any) -> Iterator[str]:
    """Finds, in a model's config, classes that hold code or come from modules that are not Keras' own."""
    if isinstance(config, dict):
        kind = config.get("class_name")
        if kind in _CODE:
            yield f"layer {kind}"
        if kind in _OPERATIONS:
            inner = config.get("config") or {}
            operation = str(inner.get("function") or inner.get("method_name") or inner.get("attr_name") or "")
            if not _HARMLESS.match(operation):
                yield f"operation {operation}"
        module = config.get("module")
        if isinstance(module, str) and isinstance(kind, str) and not _OURS.fullmatch(module):
            yield f"{module}.{kind}"
        if module == "builtins" and kind == "function":
            yield f"function {config.get('config')}"
        for value in config.values():
            yield from _suspects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _suspects(value)

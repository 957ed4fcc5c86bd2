"""Reads what a Keras file says of its network, without loading it: nothing of it runs, and no TensorFlow is needed."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError, did_you_mean
from trainer_module.phases.freezing import Layer

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


@dataclass(frozen=True)
class FileConfig:
    """What a file says of its network."""

    layers: tuple[Layer, ...]  # From input to output, without the names of their variables.
    # With the batch, such as (None, 32, 32, 3); None where it has several inputs or does not say.
    input_shape: tuple[int | None, ...] | None
    suspects: list[str]  # What would run code when the file is loaded.

    @property
    def names(self) -> list[str]:
        """The names of the layers."""
        return [layer.name for layer in self.layers]


def read_config(path: Path) -> FileConfig | None:
    """Reads a `.keras` or `.h5` file; returns None for a folder, and for weights without a network.

    Raises:
        BackboneError: It is neither, or damaged.
    """
    if path.is_dir():
        return None
    try:
        content = _content(path)
        if not content:
            return None
        config = content["config"]
        layers = config.get("layers", []) if isinstance(config, dict) else config
        described = tuple(
            Layer(_layer_name(layer), is_batch_norm=layer.get("class_name") == "BatchNormalization") for layer in layers
        )
        return FileConfig(described, _input_shape(config, layers), list(suspects(content)))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BackboneError(unreadable(path, error)) from None


def unreadable(path: Path, error: Exception) -> str:
    """Says that a file is no Keras model that can be read."""
    return (
        f"backbone.file: {str(path)!r} is neither a .keras nor an .h5 file nor the folder of a SavedModel that can "
        f"be read ({error}); pickles and other formats are not loaded."
    )


def code_problem(file: str, suspects: list[str]) -> str:
    """Says that loading a file may run what it brings along."""
    return (
        f"backbone.file: {file!r} may run code when it is loaded: {', '.join(sorted(set(suspects)))}. If you trust it, "
        "set backbone.allow_unsafe: true."
    )


def shape_problems(config: BackboneConfig, shape: tuple[int | None, ...]) -> list[str]:
    """Holds the shape of a network's input, [batch, height, width, channels], against the config."""
    size = config.image_size
    wanted = (None, size, size, 3)
    if len(shape) == 4 and all(have in (None, want) for have, want in zip(shape[1:], wanted[1:], strict=True)):
        return []
    return [f"backbone.image_size: got {size}, a batch of {list(wanted)}; {config.file!r} takes {list(shape)}"]


def cut_problems(config: BackboneConfig, names: list[str]) -> list[str]:
    """Looks for the layer to cut at among all, from input to output."""
    if not config.cut_at or config.cut_at in names:
        return []
    return [
        f"backbone.cut_at: got {config.cut_at!r}; {config.file!r} has {len(names)} layers: {names[0]} ... {names[-1]}."
        + did_you_mean(config.cut_at, names)
    ]


def suspects(config: Any) -> Iterator[str]:
    """Finds, in a network's config, classes that hold code or come from modules that are not Keras' own."""
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
            yield from suspects(value)
    elif isinstance(config, list):
        for value in config:
            yield from suspects(value)


def _content(path: Path) -> dict[str, Any]:
    """The network's class and config; empty where the file holds weights alone."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py

    with h5py.File(path, "r") as file:
        return json.loads(file.attrs.get("model_config", "{}"))


def _layer_name(layer: dict[str, Any]) -> str:
    return layer.get("name") or layer["config"]["name"]


def _input_shape(config: Any, layers: list[dict[str, Any]]) -> tuple[int | None, ...] | None:
    """The shape of the only input: that of the first layer of a sequence, or of the one that a graph begins with."""
    inputs = config.get("input_layers") if isinstance(config, dict) else None
    names = [inputs[0]] if inputs and isinstance(inputs[0], str) else [name for name, *_ in inputs or ()]
    if len(names) > 1 or not layers:
        return None
    first = next((layer for layer in layers if _layer_name(layer) in names), layers[0])["config"]
    shape = first.get("batch_input_shape") or first.get("batch_shape")
    return tuple(shape) if shape else None

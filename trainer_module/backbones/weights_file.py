"""Loads a file of weights into a network, and says which layers differ where it does not fit."""

from __future__ import annotations

from pathlib import Path

import h5py
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.saving.legacy.hdf5_format import load_attributes_from_hdf5_group

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError

# A layer's name, and the shapes of its weights.
Shapes = tuple[str, list[tuple[int, ...]]]
SHOWN_LAYERS = 8


def with_weights(backbone: keras.Model, config: BackboneConfig) -> tuple[keras.Model, str | None]:
    """Gives a network of random weights those that a config names.

    Returns:
        The network, and the sha256 of the file; None for random weights.

    Raises:
        BackboneError: There is no such file, it has another digest than it should, or it does not fit.
    """
    if config.weights == "random":
        return backbone, None
    path = Path(config.source)
    if not path.is_file():
        raise BackboneError(
            f"backbone.weights: got {config.weights!r}, which is not a file; expected imagenet, random, or the path of "
            f"an .h5 file with the weights of {backbone.name} without its top."
        )
    digest = check_sha256(path, config.sha256)
    load_weights(backbone, path)
    return backbone, digest


def load_weights(backbone: keras.Model, path: Path) -> None:
    """Loads an HDF5 file: weights alone, or a whole model of the same layers.

    Raises:
        BackboneError: It cannot be read, or its layers are others; the message lists them.
    """
    what = f"backbone.weights: {str(path)!r} does not fit {backbone.name} without its top"
    try:
        if not path.name.endswith(".weights.h5"):
            differences = _differences(_in_file(path), _in_network(backbone))
            if differences:
                raise BackboneError(
                    f"{what}, {backbone.count_params():,} parameters. Layers with weights that differ:\n"
                    + "\n".join(differences)
                    + "\nCheck backbone.name, backbone.arguments (such as alpha) and that the file was saved without "
                    "its top."
                )
        backbone.load_weights(str(path))
    except (ValueError, OSError, KeyError, tf.errors.OpError) as error:
        raise BackboneError(f"{what}: {error}\nExpected an HDF5 file that is whole, as Keras writes it.") from None


def _in_network(backbone: keras.Model) -> list[Shapes]:
    return [
        (layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in backbone.layers if layer.weights
    ]


def _in_file(path: Path) -> list[Shapes]:
    with h5py.File(path, "r") as file:
        group = file["model_weights"] if "layer_names" not in file.attrs and "model_weights" in file else file
        layers = []
        for name in load_attributes_from_hdf5_group(group, "layer_names"):
            weights = load_attributes_from_hdf5_group(group[name], "weight_names")
            shapes = [tuple(group[name][weight].shape) for weight in weights]
            if shapes:
                layers.append((name, shapes))
        return layers


def _differences(file: list[Shapes], network: list[Shapes]) -> list[str]:
    """Compares layer by layer: Keras fills them in order, whatever they are called.

    Returns:
        A line for each layer that differs, at most SHOWN_LAYERS of them; none if all fit.
    """
    if [shapes for _, shapes in file] == [shapes for _, shapes in network]:
        return []
    in_file, in_network = dict(file), dict(network)
    lines = [
        f"  {name}: {_said(in_file.get(name))} in the file, {_said(in_network.get(name))} in the network"
        for name in dict.fromkeys([*in_network, *in_file])
        if in_file.get(name) != in_network.get(name)
    ]
    more = len(lines) - SHOWN_LAYERS
    return lines[:SHOWN_LAYERS] + ([f"  and {more} more"] if more > 0 else [])


def _said(shapes: list[tuple[int, ...]] | None) -> str:
    return "absent" if shapes is None else " ".join("x".join(map(str, shape)) or "one number" for shape in shapes)

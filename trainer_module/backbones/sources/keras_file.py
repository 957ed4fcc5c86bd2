"""A Keras model in a file as a backbone: read without running what it brings along, and cut at a layer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from google.protobuf.message import DecodeError

from finetune.config.backbone import BackboneConfig, Scaling
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.keras_config import (
    FileConfig,
    code_problem,
    cut_problems,
    read_config,
    shape_problems,
    suspects,
    unreadable,
)
from trainer_module.backbones.saved_model import read_saved_model
from trainer_module.backbones.source import BackboneSource, missing_size
from trainer_module.backbones.sources.handle import is_saved_model
from trainer_module.phases.freezing import Layer
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class KerasFile(BackboneSource):
    """A `.keras` or `.h5` file, or the folder of a SavedModel that Keras wrote."""

    name = "Keras file"
    modality = "image"
    written_as = ("backbone.file", ".keras")

    def selects(self, config: BackboneConfig) -> bool:
        """Tells whether there is a file, of its modality."""
        return config.file is not None and config.modality == self.modality

    def record(self, config: BackboneConfig) -> Backbone:
        return Backbone(Path(config.source).name, config.image_size or 0, config.scaling or "none")

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str]:
        """Loads it and cuts it at a layer: from what its modality gives to that layer's output, or the last one's."""
        import tf_keras as keras

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
        return self._cut(model, config), digest

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes the network as it was cut, with its weights."""
        backbone.save(path)

    def layers(self, config: BackboneConfig) -> list[Layer] | None:
        """Returns those that the file names, if it is read without TensorFlow and used up to its last."""
        try:
            found = read_config(Path(config.source))
        except BackboneError:
            return None
        return None if found is None or config.cut_at else self.described(config, found)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Wants the size and the range of its pictures."""
        scalings = ", ".join(get_args(Scaling))
        size = [] if config.image_size else [missing_size("file")]
        return size + ([] if config.scaling else [f"backbone.scaling: missing; a `file` needs it: one of {scalings}"])

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Reads the network's config in the file: its input, its layers, and whether it brings code along."""
        path = Path(config.source)
        if not path.is_file() and not is_saved_model(config.source):
            return [
                f"backbone.file: got {config.file!r}, which is not here; "
                "expected a .keras or .h5 file, or the folder of a SavedModel"
            ]
        try:
            found = read_config(path)
        except BackboneError as error:
            return [str(error)]
        if found is None:
            return []
        problems = [code_problem(config.source, found.suspects)] if found.suspects and not config.allow_unsafe else []
        if found.input_shape:
            problems += self.shape_problems(config, found.input_shape)
        return problems + (cut_problems(config, found.names) if found.names else [])

    def shape_problems(self, config: BackboneConfig, shape: tuple[int | None, ...]) -> list[str]:
        """Holds the shape of the network's input against the config."""
        return shape_problems(config, shape) if config.image_size else []

    def described(self, config: BackboneConfig, found: FileConfig) -> list[Layer]:
        """Returns the layers that `network` makes of those in the file."""
        return list(found.layers)

    def network(self, model: keras.Model, config: BackboneConfig) -> keras.Model:
        """Returns the network for pictures of the config's size: float32 [batch, size, size, 3] to its features."""
        import tf_keras as keras

        if None not in model.input_shape[1:]:
            return model
        pixels = keras.Input((config.image_size, config.image_size, 3), name="image")
        rebuilt = keras.models.clone_model(model, input_tensors=pixels)
        rebuilt.set_weights(model.get_weights())
        return rebuilt

    def _cut(self, model: keras.Model, config: BackboneConfig) -> keras.Model:
        import tf_keras as keras

        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs, model.outputs, name=model.name)
        if not getattr(model, "_is_graph_network", False) or len(model.inputs) != 1:
            raise BackboneError(
                f"backbone.file: {config.file!r} is no network of layers with one input, and cannot be cut. Save it as "
                "a functional model, or export it and give it as backbone.handle."
            )
        shape = tuple(model.inputs[0].shape)
        names = [layer.name for layer in model.layers]
        problems = self.shape_problems(config, shape) or cut_problems(config, names)
        if problems:
            raise BackboneError("\n".join(problems))
        features = model.get_layer(config.cut_at).output if config.cut_at else model.outputs
        if isinstance(features, list):
            if len(features) != 1:
                raise BackboneError(f"backbone.cut_at: missing; {config.file!r} has {len(features)} outputs")
            (features,) = features
        return self.network(keras.Model(model.inputs[0], features, name=model.name), config)


def _refuse_code(path: Path) -> None:
    """Raises BackboneError where loading could run what the file brings along."""
    found = read_config(path)
    suspected = list(_in_folder(path)) if path.is_dir() else found.suspects if found else []
    if suspected:
        raise BackboneError(code_problem(str(path), suspected))


def _in_folder(path: Path) -> Iterator[str]:
    from tf_keras.protobuf import saved_metadata_pb2

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

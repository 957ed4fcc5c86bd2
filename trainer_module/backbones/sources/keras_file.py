"""A Keras model in a file as a backbone for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from finetune.config.backbone import BackboneConfig, Scaling
from finetune.errors import BackboneError
from trainer_module.backbones.keras_config import code_problem, cut_problems, read_config, shape_problems
from trainer_module.backbones.source import BackboneSource, missing_size
from trainer_module.backbones.sources.handle import is_saved_model
from trainer_module.phases.freezing import Layer
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class KerasFile(BackboneSource):
    """A `.keras` or `.h5` file, or the folder of a SavedModel that Keras wrote."""

    name = "Keras file"

    def selects(self, config: BackboneConfig) -> bool:
        """Tells whether there is a file."""
        return config.file is not None

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns what the config says of it."""
        return Backbone(Path(config.source).name, config.image_size or 0, config.scaling or "none")

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str]:
        """Loads it and cuts it at a layer: float32 [batch, size, size, 3] to that layer's output.

        Raises:
            BackboneError: It cannot be read, may run code, does not fit the config, or has no such layer.
        """
        from trainer_module.backbones.keras_file import keras_file_backbone

        return keras_file_backbone(config)

    def layers(self, config: BackboneConfig) -> list[Layer] | None:
        """Returns those that the file names, if it is read without TensorFlow and used up to its last."""
        try:
            found = read_config(Path(config.source))
        except BackboneError:
            return None
        return None if found is None or config.cut_at else list(found.layers)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Refuses texts, and wants the size and the range of its pictures."""
        if config.modality == "image":
            scalings = ", ".join(get_args(Scaling))
            size = [] if config.image_size else [missing_size("file")]
            return size + (
                [] if config.scaling else [f"backbone.scaling: missing; a `file` needs it: one of {scalings}"]
            )
        return [
            f"backbone.modality: got {config.modality!r}; a `file` is shown pictures. Export the model as a "
            "SavedModel, and give it as backbone.handle"
        ]

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
        if found.input_shape and config.image_size:
            problems += shape_problems(config, found.input_shape)
        return problems + (cut_problems(config, found.names) if found.names else [])

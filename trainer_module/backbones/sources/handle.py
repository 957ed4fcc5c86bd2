"""What SavedModels of every modality have in common: a handle, and layers that cannot be told apart."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.interface import code_problems
from trainer_module.backbones.saved_model import SavedModel, read_saved_model
from trainer_module.backbones.source import BackboneSource


class HandleSource(BackboneSource):
    """A source of SavedModels, each of which is one layer.

    Attributes:
        modality: What they are shown.
    """

    modality: str
    unfreeze_forms = ("variables",)

    def selects(self, config: BackboneConfig) -> bool:
        """Tells whether there is a handle, of its modality."""
        return config.handle is not None and config.modality == self.modality

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Reads the protos of a SavedModel on this machine, and holds its interface against the config."""
        problems = saved_model_problems("backbone.handle", config.handle)
        if problems or "://" in str(config.handle):
            return problems
        try:
            saved = read_saved_model(Path(str(config.handle)))
            return code_problems(saved, config) + self.interface_problems(saved, config)
        except BackboneError as error:
            return [str(error)]

    @abstractmethod
    def interface_problems(self, saved: SavedModel, config: BackboneConfig) -> list[str]:
        """Holds the model's inputs and outputs against the config.

        Raises:
            BackboneError: It cannot be called at all.
        """


def is_saved_model(folder: str) -> bool:
    """Tells whether a folder has a SavedModel in it."""
    return (Path(folder) / "saved_model.pb").is_file()


def saved_model_problems(key: str, handle: str | None) -> list[str]:
    """Returns what is wrong with a handle, if it is one on this machine."""
    if handle is None or "://" in handle or is_saved_model(handle):
        return []
    return [
        f"{key}: got {handle!r}, which is no folder with a saved_model.pb here; "
        "expected the folder of a SavedModel, or a URL"
    ]

"""What SavedModels of every modality have in common: a handle, and layers that cannot be told apart."""

from __future__ import annotations

from pathlib import Path

from finetune.config.backbone import BackboneConfig
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
        """Looks whether the SavedModel is there."""
        return saved_model_problems("backbone.handle", config.handle)


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

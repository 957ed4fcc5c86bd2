"""What SavedModels of every modality have in common: a handle, and layers that cannot be told apart."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.interface import code_problems, serving_signature
from trainer_module.backbones.saved_model import SavedModel, read_saved_model
from trainer_module.backbones.source import BackboneSource

if TYPE_CHECKING:
    import tensorflow_hub as hub
    import tf_keras as keras

LAYER = "hub"
# TensorFlow Hub's variable for the folder of downloaded models; without it they go below the temporary folder.
CACHE_VARIABLE = "TFHUB_CACHE_DIR"


class HandleSource(BackboneSource):
    """A source of SavedModels of one modality, each of which is one layer."""

    modality: str
    unfreeze_forms = ("variables",)
    kernels_by = "name"

    def selects(self, config: BackboneConfig) -> bool:
        """Tells whether there is a handle, of its modality."""
        return config.handle is not None and config.modality == self.modality

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str]:
        """Loads it as one `hub.KerasLayer`: from what its modality gives to a feature vector or map."""
        saved = read_saved_model(resolve_handle(config.source))
        digest = check_sha256(saved.folder, config.sha256)
        problems = code_problems(saved, config) or self.interface_problems(saved, config, may_download=True)
        if problems:
            raise BackboneError("\n".join(problems))
        return self.network(saved, config), digest

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
    def interface_problems(self, saved: SavedModel, config: BackboneConfig, may_download: bool = False) -> list[str]:
        """Holds the model's inputs and outputs against the config, and against what else is on this machine.

        Raises:
            BackboneError: It cannot be called at all.
        """

    @abstractmethod
    def network(self, saved: SavedModel, config: BackboneConfig) -> keras.Model:
        """Builds the model around `hub_layer`, whose interface was found to fit."""


def hub_layer(saved: SavedModel, output: str | None) -> hub.KerasLayer:
    """Loads a SavedModel as a layer that honours `trainable`, `training`, BatchNorm updates and penalties.

    Without a `__call__` it is its serving signature, and cannot be trained.
    """
    import tensorflow_hub as hub

    if saved.call:
        # A model may name its only output; a bare tensor has the name "".
        how = {"trainable": True, "output_key": output or saved.call.outputs[0].name or None}
    else:
        name = serving_signature(saved)
        how = {"signature": name, "output_key": output or saved.signatures[name].outputs[0].name}
    return hub.KerasLayer(str(saved.folder), name=LAYER, dtype="float32", **how)


def resolve_handle(handle: str) -> Path:
    """Returns the folder of a SavedModel, downloading it if it is a URL that the cache does not hold.

    Raises:
        BackboneError: It cannot be had.
    """
    if "://" not in handle:
        return Path(handle)
    import tensorflow_hub as hub

    try:
        return Path(hub.resolve(handle))
    except Exception as error:  # Resolvers raise whatever their protocol does.
        raise BackboneError(
            f"backbone.handle: {handle} could not be downloaded: {error}\n"
            f"Without a network: download it elsewhere, unpack it, and give its folder as backbone.handle; or copy "
            f"that machine's folder of {CACHE_VARIABLE} here. {CACHE_VARIABLE} is "
            f"{os.environ.get(CACHE_VARIABLE) or 'not set: downloads go to a temporary folder'}."
        ) from error


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

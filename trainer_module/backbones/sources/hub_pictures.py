"""A SavedModel of TF Hub or Kaggle Models, or one of your own in that format, as a backbone for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.interface import picture_problems
from trainer_module.backbones.saved_model import SavedModel
from trainer_module.backbones.source import missing_size
from trainer_module.backbones.sources.handle import HandleSource
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class HubPictures(HandleSource):
    """SavedModels that take pictures."""

    name = "TF Hub, pictures"
    modality = "image"

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns what the config says of it."""
        return Backbone(config.source, config.image_size or 0, config.scaling or "zero_to_one")

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str]:
        """Loads it as one layer: float32 [batch, size, size, 3] to a feature map or vector.

        Raises:
            BackboneError: It cannot be loaded, or does not fit the config.
        """
        from trainer_module.backbones.hub import hub_backbone

        return hub_backbone(config)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Wants the size of its pictures."""
        return [] if config.image_size else [missing_size("handle")]

    def interface_problems(self, saved: SavedModel, config: BackboneConfig) -> list[str]:
        """Wants one batch of pictures, and features."""
        return picture_problems(saved, config)

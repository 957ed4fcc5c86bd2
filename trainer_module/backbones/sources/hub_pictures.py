"""A SavedModel of TF Hub or Kaggle Models, or one of your own in that format, as a backbone for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.interface import picture_problems
from trainer_module.backbones.saved_model import SavedModel
from trainer_module.backbones.source import missing_size
from trainer_module.backbones.sources.handle import LAYER, HandleSource, hub_layer
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class HubPictures(HandleSource):
    """SavedModels that take pictures."""

    name = "TF Hub, pictures"
    modality = "image"

    def record(self, config: BackboneConfig) -> Backbone:
        return Backbone(config.source, config.image_size or 0, config.scaling or "zero_to_one")

    def problems(self, config: BackboneConfig) -> list[str]:
        """Wants the size of its pictures."""
        return [] if config.image_size else [missing_size("handle")]

    def interface_problems(self, saved: SavedModel, config: BackboneConfig, may_download: bool = False) -> list[str]:
        """Wants one batch of pictures, and features."""
        return picture_problems(saved, config)

    def network(self, saved: SavedModel, config: BackboneConfig) -> keras.Model:
        """From float32 [batch, size, size, 3] to float32 [batch, channels] or [batch, height, width, channels]."""
        import tf_keras as keras

        pixels = keras.Input((config.image_size, config.image_size, 3), dtype="float32", name="image")
        return keras.Model(pixels, hub_layer(saved, config.output)(pixels), name=LAYER)

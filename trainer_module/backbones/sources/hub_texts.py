"""An encoder of texts as a SavedModel of TF Hub: of strings, or of what a preprocessing SavedModel makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig, TextConfig
from trainer_module.backbones.interface import text_problems
from trainer_module.backbones.saved_model import SavedModel, read_saved_model
from trainer_module.backbones.sources.handle import HandleSource, saved_model_problems
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class HubTexts(HandleSource):
    """SavedModels that take texts."""

    name = "TF Hub, texts"
    modality = "text"

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns what the config says of it."""
        return Backbone(config.source, modality="text", preprocessing={"preprocessor": config.text.preprocessor})

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str]:
        """Loads it as one layer: string [batch], or by name what its preprocessor makes, to float32 [batch, channels].

        Raises:
            BackboneError: It cannot be loaded, or does not fit the config or the preprocessor.
        """
        from trainer_module.backbones.hub_text import text_encoder

        return text_encoder(config)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Finds what the section `text` says of tables of words."""
        return [
            f"backbone.text.{key}: got {getattr(config.text, key)!r}; it is about tables, and {config.handle} is none. "
            "Leave it out"
            for key in ("max_words", "unknown_words", "vocabulary")
            # A config that a node got as JSON has every key: the defaults say nothing.
            if getattr(config.text, key) != TextConfig.model_fields[key].default
        ]

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Looks whether the preprocessor is there, before it is held against the encoder."""
        missing = saved_model_problems("backbone.text.preprocessor", config.text.preprocessor)
        return missing or super().file_problems(config)

    def interface_problems(self, saved: SavedModel, config: BackboneConfig) -> list[str]:
        """Wants strings, or what the preprocessor makes of them, and one vector a text."""
        place = config.text.preprocessor
        if place and "://" in place:
            return []  # It is had, and held against the encoder, when training begins.
        return text_problems(saved, read_saved_model(Path(place)) if place else None, config)

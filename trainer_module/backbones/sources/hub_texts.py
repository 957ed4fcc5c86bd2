"""An encoder of texts as a SavedModel of TF Hub: of strings, or of what a preprocessing SavedModel makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig, TextConfig
from trainer_module.backbones.interface import interface_of, text_output, text_problems
from trainer_module.backbones.saved_model import SavedModel, read_saved_model
from trainer_module.backbones.sources.handle import LAYER, HandleSource, hub_layer, resolve_handle, saved_model_problems
from transforms import features
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class HubTexts(HandleSource):
    """SavedModels that take texts."""

    name = "TF Hub, texts"
    modality = "text"

    def record(self, config: BackboneConfig) -> Backbone:
        return Backbone(
            config.source, modality="text", gives_vector=True, preprocessing={"preprocessor": config.text.preprocessor}
        )

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

    def interface_problems(self, saved: SavedModel, config: BackboneConfig, may_download: bool = False) -> list[str]:
        """Wants strings, or what the preprocessor makes of them, and one vector a text."""
        place = config.text.preprocessor
        if place and "://" in place and not may_download:
            return []  # It is had, and held against the encoder, when training begins.
        return text_problems(saved, read_saved_model(resolve_handle(place)) if place else None, config)

    def network(self, saved: SavedModel, config: BackboneConfig) -> keras.Model:
        """From string [batch], or by name in int64 what its preprocessor makes, to float32 [batch, channels]."""
        import tensorflow as tf
        import tf_keras as keras

        from trainer_module.layers import Cast

        layer = hub_layer(saved, text_output(saved, config))
        if not config.text.preprocessor:
            text = keras.Input((), dtype=tf.string, name=features.CLEAN_TEXT)
            return keras.Model(text, layer(text), name=LAYER)
        takes = {tensor.name: tensor for tensor in interface_of(saved).inputs}
        inputs = {name: keras.Input((one.shape or ())[1:], dtype=tf.int64, name=name) for name, one in takes.items()}
        cast = Cast({name: tensor.dtype for name, tensor in takes.items()}, name="cast")
        return keras.Model(inputs, layer(cast(inputs)), name=LAYER)

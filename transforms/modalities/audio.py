"""Sounds: the bytes of a WAV file become frames of mel bands at the backbone's rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from finetune.config.backbone import AudioConfig
from transforms import features
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from transforms.inputs import PatchInputs


class Audio:
    """WAV files with 16 bits a sample. A record's `preprocessing` holds the fields of `AudioConfig`."""

    raw = features.AUDIO
    keys: tuple[str, ...] = ("backbone.audio",)
    kept = True

    def describe(self, record: Backbone) -> str:
        """Says how long a patch is, and how many there are at most."""
        config = _config(record.preprocessing)
        return f"at most {config.max_patches} patches of {config.patch_frames * config.hop_ms / 1000:g} s"

    def settings(self, record: Backbone) -> dict[str, Any]:
        """Returns all but the logarithm, which the network's input takes."""
        return {name: value for name, value in record.preprocessing.items() if name != "log_offset"}

    def transform(self, values: tf.Tensor, settings: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Makes `mel`: string [batch], serialised float32 [frames, bands] (`transforms.audio.wav_to_mel`)."""
        from transforms.audio import wav_to_mel

        return {features.MEL: wav_to_mel(values, _config(settings))}

    def inputs(self, record: Backbone, transform_output: tft.TFTransformOutput) -> PatchInputs:
        from transforms.inputs import PatchInputs

        return PatchInputs(_config(record.preprocessing))


def _config(settings: Mapping[str, Any]) -> AudioConfig:
    return AudioConfig.model_validate({name: settings[name] for name in AudioConfig.model_fields if name in settings})

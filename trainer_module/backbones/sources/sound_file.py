"""A Keras model of log-mel patches in a file, such as YAMNet, as a backbone for sounds of several patches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config.backbone import AudioConfig, BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.keras_config import FileConfig
from trainer_module.backbones.sources.keras_file import KerasFile
from trainer_module.phases.freezing import Layer
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras

# The layers around those of the file: the input and what takes patches apart, and what brings them together again, with
# zeros where there may be none.
INPUT, BEFORE, BEHIND, WHERE = "log_mel", "each_patch", "patches", "where_patches"


class SoundFile(KerasFile):
    """A `.keras` or `.h5` file, or the folder of a SavedModel that Keras wrote, which is shown one patch at a time."""

    name = "Keras file, sounds"
    modality = "audio"

    def record(self, config: BackboneConfig) -> Backbone:
        return Backbone(Path(config.source).name, modality="audio", preprocessing=config.audio.model_dump())

    def problems(self, config: BackboneConfig) -> list[str]:
        """Finds nothing: the keys of pictures are refused with those of the section `data`."""
        return []

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes the network of one patch, as it was in the file and cut, with its weights."""
        import tf_keras as keras

        patch, features = backbone.get_layer(BEFORE).output, backbone.get_layer(BEHIND).input
        keras.Model(patch, features, name=backbone.name).save(path)

    def shape_problems(self, config: BackboneConfig, shape: tuple[int | None, ...]) -> list[str]:
        """Wants [batch, frames, bands] or [batch, frames, bands, 1] of the sizes that the config says."""
        wanted = (config.audio.patch_frames, config.audio.bands)
        sizes = shape[1:3]
        fits = len(shape) in (3, 4) and shape[3:] in ((), (1,))
        if fits and all(have in (None, want) for have, want in zip(sizes, wanted, strict=True)):
            return []
        return [
            f"backbone.audio: got patch_frames {wanted[0]} and bands {wanted[1]}, a batch of [None, {wanted[0]}, "
            f"{wanted[1]}] or [None, {wanted[0]}, {wanted[1]}, 1]; {config.file!r} takes {list(shape)}"
        ]

    def described(self, config: BackboneConfig, found: FileConfig) -> list[Layer]:
        """Returns the layers of the file in place of its input, between those that take patches apart."""
        names = [INPUT, BEFORE], [BEHIND, *([WHERE] if config.audio.max_patches > 1 else [])]
        before, behind = ([Layer(name) for name in each] for each in names)
        return [*before, *found.layers[1:], *behind]

    def network(self, model: keras.Model, config: BackboneConfig) -> keras.Model:
        """From float32 [batch, max_patches, patch_frames, bands] to [batch, max_patches, channels].

        Features are averaged over their places. Where there is no patch, which is zero throughout, so are its features.
        Sounds of one patch have no such layer, and can be cut anywhere to keep what is frozen.
        """
        import tf_keras as keras

        from trainer_module.layers import EachPatch, Patches, WherePatches

        audio: AudioConfig = config.audio
        log_mel = keras.Input((audio.max_patches, audio.patch_frames, audio.bands), name=INPUT)
        folded = EachPatch(channels=len(model.input_shape) == 4, name=BEFORE)(log_mel)
        # As one graph with the layers of the file in it, so that phases can name them.
        of_each = model.call(folded)
        if len(of_each.shape) not in (2, 3, 4):
            raise BackboneError(
                f"backbone.cut_at: the features of {config.file!r} have the shape {list(of_each.shape)}; expected of a "
                "patch [batch, channels], or with one or two axes of places before the channels."
            )
        x = Patches(audio.max_patches, name=BEHIND)(of_each)
        if audio.max_patches > 1:
            x = WherePatches(name=WHERE)([x, log_mel])
        return keras.Model(log_mel, x, name=model.name)

"""The table of sources, and what follows from a config's own. No TensorFlow here."""

from __future__ import annotations

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError, did_you_mean
from trainer_module.backbones.source import BackboneSource
from trainer_module.backbones.sources.bert import Bert
from trainer_module.backbones.sources.hub_pictures import HubPictures
from trainer_module.backbones.sources.hub_texts import HubTexts
from trainer_module.backbones.sources.keras_applications import KerasApplications
from trainer_module.backbones.sources.keras_file import KerasFile
from trainer_module.backbones.sources.pooled_blocks import PooledBlocks
from trainer_module.backbones.sources.sides import Sides
from trainer_module.backbones.sources.small_cnn import SmallCNN
from trainer_module.backbones.sources.sound_file import SoundFile
from trainer_module.backbones.sources.word_vectors import WordVectors
from transforms.backbone import Backbone

SOURCES: dict[str, BackboneSource] = {
    source.name: source
    for source in (
        WordVectors(),
        Bert(),
        SmallCNN(),
        KerasApplications(),
        HubPictures(),
        HubTexts(),
        KerasFile(),
        SoundFile(),
        Sides(lambda config: source_of(config)),  # noqa: PLW0108 (it stands below)
    )
}


def catalogue() -> dict[str, Backbone]:
    """Returns the record of each backbone that has a name."""
    return {name: record for source in SOURCES.values() for name, record in source.records.items()}


def source_of(config: BackboneConfig) -> BackboneSource:
    """Returns the source that a config means.

    Raises:
        BackboneError: There is none; the message names the nearest name.
    """
    for source in SOURCES.values():
        if source.selects(config):
            return PooledBlocks(source) if config.pooled_blocks > 1 else source
    if not config.name:
        kind = "handle" if config.handle else "file"
        raise BackboneError(f"backbone.modality: got {config.modality!r}; no source takes a `{kind}` for it")
    names = list(catalogue())
    raise BackboneError(
        f"backbone.name: got {config.name!r}; expected one of the {len(names)} backbones that `finetune backbones` "
        "lists." + did_you_mean(config.name.replace("_", ""), names)
    )


def record_of(config: BackboneConfig) -> Backbone:
    """Returns the record of the backbone that a config means, with the config's own choices in it.

    Raises:
        BackboneError: There is none.
    """
    return source_of(config).record(config)


def backbone_record(name: str) -> Backbone:
    """Returns the record of a name; case and underscores do not matter.

    Raises:
        BackboneError: No backbone has that name; the message names the nearest one.
    """
    return record_of(BackboneConfig(name=name, weights="random"))


def origin_of(config: BackboneConfig) -> dict[str, str | None]:
    """Returns what summaries and models say of their backbone: `name`, `source` and `licence`, where known."""
    record = record_of(config)
    licence = record.licence if config.weights == "imagenet" else ""
    return {"name": record.name, "source": config.source, "licence": licence or None}

"""The folders or tables that a config reads now: its root, or that of each span in the window. No TensorFlow here."""

from __future__ import annotations

from dataclasses import replace

from components.example_gen.modalities import MODALITIES
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import DataSpans, resolve_spans
from finetune.config import Config, DataConfig
from trainer_module.backbones.sources import record_of


def roots_of(data: DataConfig) -> list[str]:
    """Returns the root, or where the root has a place for a span, that of each span that would be read now.

    Raises:
        DataError: No span can be read.
        RunError: The bucket cannot be listed.
    """
    spans = resolve_spans(data.root, _settings(data), lambda root: "")
    return [spans.root_of(span) for span in spans.spans] if spans else [data.root]


def spans_of(config: Config) -> DataSpans | None:
    """Returns which spans a run of a config would read now, each by its digest as the ingest has it.

    None where the root has no place for a span.

    Raises:
        DataError: No span can be read.
        RunError: The bucket cannot be listed.
    """
    modality = MODALITIES[record_of(config.backbone).modality]
    settings = ingest_settings(config)
    return resolve_spans(config.data.root, settings, lambda root: modality.fingerprint(root, settings))


def ingest_settings(config: Config) -> IngestSettings:
    """Returns the settings of the ingest as far as the section `data` says them."""
    return replace(_settings(config.data, config.task), with_text=bool(config.backbone.sides))


def _settings(data: DataConfig, task: str = IngestSettings.task) -> IngestSettings:
    known = set(IngestSettings.__dataclass_fields__) - {"corrections"}
    values = data.model_dump(mode="json", include=known)
    return IngestSettings(task=task, **values)

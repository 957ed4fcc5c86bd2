"""The tables that say what a modality is, one for each part of the pipeline that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.bulk_inferrer.modalities import MODALITIES as PREVIEW_MODALITIES
from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from finetune.config import DataConfig
from finetune.errors import ConfigError, FinetuneError
from pipeline.data_roots import roots_of
from trainer_module.modalities import MODALITIES as NETWORK_MODALITIES
from transforms.modalities import MODALITIES as TRANSFORM_MODALITIES

# Import path of each table, and what it has for each modality; the command line has one more above these.
MODALITY_TABLES: dict[str, Mapping[str, Any]] = {
    "components.example_gen.modalities": INGEST_MODALITIES,
    "transforms.modalities": TRANSFORM_MODALITIES,
    "trainer_module.modalities": NETWORK_MODALITIES,
    "components.bulk_inferrer.modalities": PREVIEW_MODALITIES,
}


def keys_of(modality: str) -> tuple[str, ...]:
    """Returns the keys of a config that say something about a modality alone."""
    return (*INGEST_MODALITIES[modality].keys, *TRANSFORM_MODALITIES[modality].keys)


def modality_of(data: DataConfig) -> str:
    """Tells what the data are, such as `image`, by `data.layout` or by the names of files and folders.

    Raises:
        ConfigError: They look like nothing known.
    """
    layout = "manifest" if data.manifest else data.layout
    known = {name: each for name, each in INGEST_MODALITIES.items() if layout in each.layouts}
    if len(known) == 1:
        return next(iter(known))
    try:
        root = Path(roots_of(data)[-1])
    except FinetuneError as error:
        raise ConfigError([str(error)]) from None
    found = next((name for name, each in known.items() if each.recognises(root)), None)
    if found:
        return found
    if layout != "auto":
        return "image"
    shown = ", ".join(ingest.shown for ingest in INGEST_MODALITIES.values())
    raise ConfigError(
        [
            f"data.root: got {data.root!r}, which holds nothing that looks like one of {shown}; expected a folder with "
            "one subfolder of pictures or sounds per class, or a CSV, TSV or JSONL file"
        ]
    )

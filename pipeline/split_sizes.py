"""How large the splits will be, class by class, from a look at the data that reads no picture. No TensorFlow here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing, list_files
from components.example_gen.modalities import MODALITIES
from components.example_gen.settings import IngestSettings
from components.example_gen.tables import find_tables, read_tables
from evaluation.foresight import Sizes
from finetune.buckets import is_bucket
from finetune.config import Config
from finetune.errors import DataError
from pipeline.frozen_features_plan import count_examples
from trainer_module.backbones.sources import record_of

# A plan is printed within two seconds; more is left to the ingest.
MOST_FILES, MOST_TABLE_BYTES = 20_000, 20 * 2**20


def expected_sizes(config: Config) -> dict[str, Sizes] | None:
    """Returns the sizes of `train` and `test` as the ingest would cut them, but for files that it leaves out.

    Fractions are of each class. None where there is nothing here to look at, or too much.
    """
    if is_bucket(config.data.root):
        return None
    settings = ingest_settings(config)
    try:
        listing = _listing(config, settings)
    except (DataError, OSError):
        return None
    return None if listing is None else {split: _sizes(listing, split) for split in ("train", "test")}


def ingest_settings(config: Config) -> IngestSettings:
    """Returns the settings of the ingest, as far as a listing of the data depends on them."""
    known = {field.name for field in fields(IngestSettings)}
    data = config.data.model_dump(mode="json")
    return IngestSettings(task=config.task, **{name: value for name, value in data.items() if name in known})


def _listing(config: Config, settings: IngestSettings) -> Listing | None:
    if "table" in MODALITIES[record_of(config.backbone).modality].layouts:
        folder, names, _ = find_tables(config.data.root)
        if sum(os.path.getsize(Path(folder, name)) for name in names) > MOST_TABLE_BYTES:
            return None
        return read_tables(config.data.root, settings).listing
    counted = count_examples(config.data)
    return list_files(config.data.root, settings) if counted and sum(counted) <= MOST_FILES else None


def _sizes(listing: Listing, split: str) -> Sizes:
    plan = listing.plan
    usable = [record for record in listing.files if not record.reason]
    named = plan.folders.get(split)
    if named is not None and split != "train":
        return _counted((record for record in usable if record.folder == named), 1.0)
    whole = [record for record in usable if plan.held_out_folder(record.folder) is None]
    return _counted(whole, plan.fractions.get(split, 0.0))


def _counted(records: Iterable[FileRecord], share: float) -> Sizes:
    kept = list(records)
    classes: Mapping[str, int] = Counter(label for record in kept for label in record.labels)
    rounded = {name: round(count * share) for name, count in sorted(classes.items())}
    one_each = all(len(record.labels) == 1 for record in kept)
    return Sizes(sum(rounded.values()) if one_each else round(len(kept) * share), rounded)

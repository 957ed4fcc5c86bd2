"""How large the splits will be, class by class, from a look at the data that reads no picture. No TensorFlow here."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing, list_files
from components.example_gen.modalities import MODALITIES
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import list_spans
from components.example_gen.tables import find_tables, read_tables
from evaluation.foresight import Sizes
from finetune.buckets import is_bucket
from finetune.config import Config
from finetune.errors import DataError
from pipeline.data_roots import ingest_settings, spans_of
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
    try:
        listing = _listing(config, ingest_settings(config))
    except (DataError, OSError):
        return None
    return None if listing is None else {split: _sizes(listing, split) for split in ("train", "test")}


def _listing(config: Config, settings: IngestSettings) -> Listing | None:
    spans = spans_of(config)
    roots = [spans.root_of(span) for span in spans.spans] if spans else [config.data.root]
    list_one: Callable[[str], Listing]
    if "table" in MODALITIES[record_of(config.backbone).modality].layouts:
        if sum(map(_table_bytes, roots)) > MOST_TABLE_BYTES:
            return None

        def list_one(root: str) -> Listing:
            return read_tables(root, settings).listing
    else:
        counted = count_examples(config.data)
        if not counted or sum(counted) > MOST_FILES:
            return None

        def list_one(root: str) -> Listing:
            return list_files(root, settings)

    return list_spans(spans, settings, list_one) if spans else list_one(config.data.root)


def _table_bytes(root: str) -> int:
    folder, names, _ = find_tables(root)
    return sum(os.path.getsize(Path(folder, name)) for name in names)


def _sizes(listing: Listing, split: str) -> Sizes:
    shares = [(record, _share(listing, record, split)) for record in listing.files if not record.reason]
    classes: dict[str, float] = defaultdict(float)
    for record, share in shares:
        for label in record.labels:
            classes[label] += share
    rounded = {name: round(count) for name, count in sorted(classes.items()) if count}
    one_each = all(len(record.labels) == 1 for record, _ in shares)
    return Sizes(sum(rounded.values()) if one_each else round(sum(share for _, share in shares)), rounded)


def _share(listing: Listing, record: FileRecord, split: str) -> float:
    """How much of an example is expected in a split: all or nothing where its folder says it."""
    plan = listing.plan_of(record)
    held_out = plan.held_out_folder(record.folder)
    if held_out is not None:
        return float(held_out == split)
    return plan.fractions.get(split, 0.0)

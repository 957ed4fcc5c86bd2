"""Which examples the data have now, with digests; files that nobody has read yet are read. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import hashlib
import os

from components.example_gen.corrections import corrected
from components.example_gen.files import FileProblem, read_file
from components.example_gen.layouts import Listing, list_files
from components.example_gen.modalities import MODALITIES
from components.example_gen.selection import listed
from components.example_gen.spans import list_spans, resolve_spans
from components.example_gen.tables import read_tables
from evaluation.retraining.news import Known, stat_of
from finetune.artifacts.example_list import ListedExample
from finetune.config import Config
from pipeline.data_roots import ingest_settings, spans_of
from trainer_module.backbones.sources import record_of


def examples_now(config: Config, known: Known) -> list[ListedExample]:
    """Lists the files or rows of `data.root`, with the labels that the ingest would give them.

    Args:
        config: Of the pipeline.
        known: What runs have listed; a file of the same path, size and time is taken for the same.

    Raises:
        DataError: The data cannot be listed.
    """
    settings = dataclasses.replace(ingest_settings(config), corrections=config.data.corrections)
    spans = resolve_spans(config.data.root, settings, lambda root: "")
    is_table = "table" in MODALITIES[record_of(config.backbone).modality].layouts

    def list_one(root: str) -> Listing:
        return read_tables(root, settings).listing if is_table else list_files(root, settings)

    root = spans.base if spans else config.data.root
    listing = list_spans(spans, settings, list_one) if spans else list_one(root)
    found = []
    for record in corrected(listing, settings).files:
        example = listed(record)
        if not is_table:
            same = known.by_stat.get(stat_of(example))
            digest = same.sha256 if same else _digest(os.path.join(root, record.path))
            example = dataclasses.replace(example, sha256=digest)
        found.append(example)
    return found


def data_now(config: Config) -> dict[str, str]:
    """Returns a digest of the data by the name of each span that is read, in their order; "" without spans.

    It is that of the ingest: of names, labels, sizes and times of files, and of the bytes of tables.

    Raises:
        DataError: No span can be read.
    """
    spans = spans_of(config)
    if spans:
        return {span.name: digest for span, digest in zip(spans.spans, spans.digests, strict=True)}
    modality = MODALITIES[record_of(config.backbone).modality]
    return {"": modality.fingerprint(config.data.root, ingest_settings(config))}


def _digest(path: str) -> str:
    """Reads a file; of one that cannot be read, the digest is empty."""
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except FileProblem:
        return ""

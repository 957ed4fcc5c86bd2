"""What was served, made into transformed examples: the frozen backbone sees it as it sees what is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.example_gen.files import FileProblem, read_file
from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from finetune.events import Note, emit
from finetune.serving_log import ServedRow, drawn_rows, read_serving_log
from trainer_module.embedding import Embedding, embed
from transforms import features
from transforms.graph import TransformGraph
from transforms.modalities import MODALITIES
from transforms.records import serialise

SPLIT = "served"
# Rows that are drawn of a log, however long it is; the backbone sees each of them.
MOST_ROWS = 1_000
_BATCH = 32


def write_served(log: Path, output: tft.TFTransformOutput, modality: str, target: Path) -> int:
    """Writes rows of a log as a TFRecord file of transformed examples; it tells how many cannot be read.

    Args:
        log: As `finetune.serving_log` reads it.
        output: Of the Transform graph.
        modality: Of the model.
        target: The file.

    Returns:
        The number of examples.

    Raises:
        DataError: The log cannot be read.
    """
    rows = iter(drawn := drawn_rows(read_serving_log(log), MOST_ROWS))
    raw, make_raw = MODALITIES[modality].raw, INGEST_MODALITIES[modality].raw
    graph = TransformGraph(output, raw)
    # The graph asks for a label and a group, and nobody for those that it gets.
    label = output.vocabulary_by_name(features.CLASSES)[0]
    written = 0
    with tf.io.TFRecordWriter(str(target)) as writer:
        while batch := list(islice(rows, _BATCH)):
            for record in _transformed(graph, [_raw_example(row, raw, make_raw, label) for row in batch]):
                writer.write(record)
                written += 1
    if written < len(drawn):
        text = f"DataGate: {len(drawn) - written:,} of {len(drawn):,} rows of {log} cannot be read any more"
        emit(Note(text=text, level="warning"))
    return written


def embed_with_served(
    settings: dict[str, Any], output: tft.TFTransformOutput, files: Mapping[str, str], log: Path | None
) -> tuple[Embedding, np.ndarray[Any, Any] | None]:
    """Embeds splits, and what was served with them.

    Args:
        settings: As of `embed`, with `modality`.
        output: Of the Transform graph.
        files: Pattern of the transformed examples of each split.
        log: What was served; None where nobody asks.

    Returns:
        The splits; and of what was served float32 [rows, features], None without a log.
    """
    if log is None:
        return embed(settings, output, files), None
    with TemporaryDirectory() as folder:
        file = Path(folder) / SPLIT
        written = write_served(log, output, settings["modality"], file)
        embedding = embed(settings, output, {**files, SPLIT: str(file)} if written else files)
    served = embedding.splits == SPLIT
    kept = replace(
        embedding,
        keys=[key for key, one in zip(embedding.keys, served, strict=True) if not one],
        splits=embedding.splits[~served],
        labels=embedding.labels[~served],
        features=embedding.features[~served],
        held_out=embedding.held_out[~served],
    )
    return kept, embedding.features[served]


def _raw_example(row: ServedRow, raw: str, make_raw: Callable[[bytes], bytes], label: bytes) -> bytes | None:
    try:
        content = make_raw(read_file(row.path) if row.path else row.text.encode("utf-8", "surrogateescape"))
    except FileProblem:
        return None
    sha256 = hashlib.sha256(content).hexdigest().encode()
    return serialise({raw: content, features.LABEL: label, features.SHA256: sha256, features.GROUP: b""})


def _transformed(graph: TransformGraph, records: list[bytes | None]) -> Iterator[bytes]:
    """One bad example fails its whole batch; then each is tried by itself."""
    readable = [record for record in records if record is not None]
    if not readable:
        return
    try:
        parts = [graph.of_raw(readable), graph.of_others(readable)]
    except tf.errors.OpError:
        if len(readable) > 1:
            for record in readable:
                yield from _transformed(graph, [record])
        return
    for one, other in zip(*parts, strict=True):
        example = tf.train.Example.FromString(one)
        example.MergeFromString(other)
        yield example.SerializeToString(deterministic=True)

"""Reads the raw examples of a run for its checks, and writes again what of the transformed ones is trained on."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.data_gate.modalities import MODALITIES, CheckedModality
from components.split_files import split_files
from evaluation.column_drift import Counts
from evaluation.data_checks import Examples
from finetune import cpus
from finetune.example_cache import ExampleCache
from trainer_module.embedding import Embedding
from transforms import features
from transforms.modalities import MODALITIES as RAW
from transforms.records import read_records

_AT_ONCE = 256


@dataclass(frozen=True)
class RawExample:
    """What is read of one raw example beside its raw feature."""

    path: str
    facts: bytes
    columns: Sequence[str]


def read_raw(
    examples: types.Artifact,
    splits: Sequence[str],
    modality: str,
    columns: Sequence[str],
    cache: ExampleCache | None,
) -> dict[tuple[str, str], deque[RawExample]]:
    """Reads all examples of some splits; those with the same split and key are in the order of their files."""
    checked, raw = MODALITIES.get(modality), RAW[modality].raw
    found: dict[tuple[str, str], deque[RawExample]] = defaultdict(deque)

    def read(feature: Mapping[str, Any]) -> tuple[str, RawExample]:
        key = _text(feature[features.SHA256])
        facts = _facts(checked, cache, key, feature[raw]) if checked else b""
        return key, RawExample(_text(feature[features.PATH]), facts, [_text(feature[name]) for name in columns])

    # Pillow lets other threads work while it decodes.
    with ThreadPoolExecutor(cpus.available()) as pool:
        for split in splits:
            stream = _features(examples, split)
            while batch := list(islice(stream, _AT_ONCE)):
                for key, example in pool.map(read, batch):
                    found[split, key].append(example)
    return found


def as_examples(
    embedding: Embedding,
    found: Mapping[tuple[str, str], deque[RawExample]],
    modality: str,
    columns: Sequence[str],
    one_label: bool,
    served: np.ndarray[Any, Any] | None = None,
    counts: Counts | None = None,
    champion_counts: Counts | None = None,
) -> Examples:
    """Puts what is known of each example together, in the order of the embedding."""
    pairs = zip(embedding.splits.tolist(), embedding.keys, strict=True)
    of_each = [found[split, key].popleft() for split, key in pairs]
    checked = MODALITIES.get(modality)
    cells = {name: [each.columns[place] for each in of_each] for place, name in enumerate(columns)}
    groups = cells.pop(features.GROUP, None)
    return Examples(
        paths=[each.path for each in of_each],
        splits=embedding.splits,
        classes=embedding.classes,
        labels=embedding.labels,
        one_label=one_label,
        features=embedding.features,
        held_out=embedding.held_out,
        served=served,
        counts=counts or {},
        champion_counts=champion_counts,
        columns=cells,
        groups=None if groups is None else np.array(groups),
        **(checked.fields([each.facts for each in of_each]) if checked else {}),
    )


def raw_values(
    examples: types.Artifact, modality: str, wanted: Collection[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yields split and path, and the raw feature, of examples that are wanted."""
    raw = RAW[modality].raw
    for split in sorted({split for split, _ in wanted}):
        for feature in _features(examples, split):
            place = split, _text(feature[features.PATH])
            if place in wanted:
                yield place, feature[raw].bytes_list.value[0]


def write_without(
    transformed: types.Artifact, kept: types.Artifact, splits: Sequence[str], dropped: Mapping[tuple[str, str], int]
) -> None:
    """Writes transformed examples again, but for some; a file without any of those is the same file where it can be.

    Args:
        transformed: Of Transform.
        kept: Artifact to fill.
        splits: To write.
        dropped: How many examples of a split and key are left out.
    """
    kept.split_names = artifact_utils.encode_split_names(list(splits))
    left = dict(dropped)
    for split in splits:
        folder = artifact_utils.get_split_uri([kept], split)
        fileio.makedirs(folder)
        for file in split_files([transformed], split):
            target = os.path.join(folder, os.path.basename(file))
            records = list(read_records([file]).as_numpy_iterator()) if left else []
            stays = []
            for record in records:
                place = split, _text(tf.train.Example.FromString(record).features.feature[features.KEY])
                goes = left.get(place, 0) > 0
                if goes:
                    left[place] -= 1
                stays.append(not goes)
            if all(stays):
                _same_file(file, target)
                continue
            with tf.io.TFRecordWriter(target) as writer:
                for record, stay in zip(records, stays, strict=True):
                    if stay:
                        writer.write(record)


def _same_file(source: str, target: str) -> None:
    """Links a file, or copies it where a link cannot be."""
    try:
        os.link(source, target)
    except OSError:
        fileio.copy(source, target, overwrite=True)


def _features(examples: types.Artifact, split: str) -> Iterator[Mapping[str, Any]]:
    for record in read_records(split_files([examples], split)).as_numpy_iterator():
        yield tf.train.Example.FromString(record).features.feature


def _facts(checked: CheckedModality, cache: ExampleCache | None, key: str, feature: Any) -> bytes:
    value = feature.bytes_list.value[0]
    if cache is None:
        return checked.facts(value)
    facts = cache.get(key.encode())
    if facts is None:
        facts = checked.facts(value)
        cache.put(key.encode(), facts)
    return facts


def _text(feature: Any) -> str:
    values = feature.bytes_list.value
    return values[0].decode("utf-8", "surrogateescape") if values else ""

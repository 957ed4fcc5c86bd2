"""Examples of an earlier task, as the network of this one reads them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft
from tfx import types

from components.example_gen.settings import SPLITS
from components.split_files import split_files
from transforms import features
from transforms.graph import TransformGraph
from transforms.modalities import MODALITIES
from transforms.records import read_records

_BATCH = 32


def write_transformed(
    raw: types.Artifact, graph: tft.TFTransformOutput, modality: str, known_class: str, path: Path
) -> dict[str, str]:
    """Writes the examples of all splits to one TFRecord file, as Transform would.

    Args:
        raw: Of the earlier task, each with one label.
        graph: Of the training, which knows no class of that task.
        modality: Of both.
        known_class: One that the graph knows; it stands in for every label.
        path: Of the file.

    Returns:
        The label of each example, by its key.
    """
    transform = TransformGraph(graph, MODALITIES[modality].raw)
    stream = _examples(raw)
    label_of: dict[str, str] = {}
    with tf.io.TFRecordWriter(str(path)) as writer:
        while batch := list(islice(stream, _BATCH)):
            records = []
            for key, label, example in batch:
                label_of[key] = label
                feature = example.features.feature
                feature[features.LABEL].bytes_list.value[:] = [known_class.encode()]
                # Where examples of the training have groups, each of these is one.
                feature[features.GROUP].bytes_list.value[:] = [key.encode()]
                records.append(example.SerializeToString())
            for parts in zip(transform.of_raw(records), transform.of_others(records), strict=True):
                # Parts of a message, one after the other, are the message.
                writer.write(b"".join(parts))
    return label_of


def _examples(raw: types.Artifact) -> Iterator[tuple[str, str, tf.train.Example]]:
    """Yields key, label and example, each content once."""
    seen: set[str] = set()
    for split in SPLITS:
        for record in read_records(split_files([raw], split)).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            feature = example.features.feature
            key = feature[features.SHA256].bytes_list.value[0].decode()
            if key not in seen:
                seen.add(key)
                yield key, feature[features.LABEL].bytes_list.value[0].decode(), example

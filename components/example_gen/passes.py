"""What Beam's workers do with each file and each shard. They import this module, so it must not import TFX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf

from components.example_gen.files import FileProblem, FileRecord, read_file
from components.example_gen.images import check_image, check_tensorflow_decodes
from components.example_gen.progress import Progress
from transforms import features


class ReadFile(beam.DoFn):
    """Decodes and hashes one file: a FileRecord as JSON -> the same with a digest, or with a reason."""

    def __init__(self, root: str, max_pixels: int):
        self._root = root
        self._max_pixels = max_pixels

    def process(self, element: str) -> Iterator[str]:
        """Yields the completed record as JSON."""
        record = FileRecord.from_json(element)
        try:
            data = read_file(os.path.join(self._root, record.path))
            check_image(data, self._max_pixels)
            check_tensorflow_decodes(data)
            record = dataclasses.replace(record, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        except FileProblem as problem:
            record = record.without(problem)
        Progress.step()
        yield record.to_json()


class WriteShard(beam.DoFn):
    """Writes one shard as one file, in order: a JSON object with `file` and `records` -> the records that were lost."""

    def __init__(self, root: str):
        self._root = root

    def process(self, element: str) -> Iterator[str]:
        """Yields, as JSON, the records of files that went away or changed since they were hashed."""
        shard = json.loads(element)
        with tf.io.TFRecordWriter(shard["file"], "GZIP") as writer:
            for record in map(FileRecord.from_json, shard["records"]):
                try:
                    data = read_file(os.path.join(self._root, record.path))
                    if hashlib.sha256(data).hexdigest() != record.sha256:
                        raise FileProblem("changed", "it was changed while the data was read")
                    writer.write(make_example(record, data))
                except FileProblem as problem:
                    yield record.without(problem).to_json()
        Progress.step(len(shard["records"]))


def write_json(value: object, path: str) -> None:
    """Writes `value` as JSON in ASCII, and makes the folder of `path` if there is none."""
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(value, indent=1))


def make_example(record: FileRecord, data: bytes, name: str = features.IMAGE) -> bytes:
    """Returns a serialized tf.Example of bytes: `label`, and with one value each `name`, path, sha256, slice columns.

    Args:
        record: A usable file or row. Its path is written as the bytes that the file system has.
        data: What becomes the feature `name`, as it is.
        name: Of the feature that the model will read.
    """
    values = {
        name: data,
        "path": record.path.encode("utf-8", "surrogateescape"),
        "sha256": record.sha256.encode(),
        **{name: value.encode() for name, value in record.slices.items()},
    }
    lists = {name: [value] for name, value in values.items()}
    lists[features.LABEL] = [label.encode() for label in record.labels]
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value)) for name, value in lists.items()}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)

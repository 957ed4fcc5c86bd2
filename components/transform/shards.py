"""What Beam's workers do with each file of raw examples. They import this module, so it must not import TFX."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft

from components.example_gen.progress import Progress
from finetune.example_cache import ExampleCache
from transforms import features
from transforms.graph import TransformGraph
from transforms.records import read_records

# Examples that are in memory, and go through the graph, together.
BATCH = 32
COUNTERS = "transformed_examples"


@dataclass(frozen=True)
class Kept:
    """Where what was made of examples is kept for later runs, and what it depends on besides them."""

    folder: str
    made_by: str
    max_bytes: float

    def open(self) -> ExampleCache:
        """Opens it; each process has its own."""
        return ExampleCache(Path(self.folder), self.made_by, self.max_bytes)


class TransformShard(beam.DoFn):
    """Makes one file of transformed examples of one of raw examples, in the same order.

    Takes JSON objects with the paths `raw` and `transformed`. Counts under the name COUNTERS `made`, the examples that
    went through the graph, and `kept`, those that an earlier run has made.
    """

    def __init__(self, graph: str, raw: str, kept: Kept | None, tmp: str):
        """Args:
        graph: Folder of the Transform graph.
        raw: Name of the raw feature.
        kept: None where making it anew takes no longer than reading it.
        tmp: Folder of unfinished files, in the same file system as the finished ones.
        """
        self._folder, self._raw, self._kept, self._tmp = graph, raw, kept, tmp

    def setup(self) -> None:
        """Loads the graph, once a worker."""
        self._graph = TransformGraph(tft.TFTransformOutput(self._folder), self._raw)
        self._cache = self._kept.open() if self._kept else None

    def process(self, element: str) -> None:
        """Writes the file under another name first: a worker that is killed leaves no part of it."""
        files = json.loads(element)
        unfinished = os.path.join(self._tmp, uuid.uuid4().hex)
        with tf.io.TFRecordWriter(unfinished) as writer:
            for batch in read_records([files["raw"]]).batch(BATCH).as_numpy_iterator():
                for record in self._transformed(batch):
                    writer.write(record)
                Progress.step(len(batch))
        tf.io.gfile.rename(unfinished, files["transformed"], overwrite=True)
        if self._cache:
            self._cache.flush()

    def teardown(self) -> None:
        """Closes the files of what is kept."""
        if self._cache:
            self._cache.close()

    def _transformed(self, batch: Sequence[bytes]) -> list[bytes]:
        made = self._made(batch)
        return [_joined(*parts) for parts in zip(made, self._graph.of_others(batch), strict=True)]

    def _made(self, batch: Sequence[bytes]) -> list[bytes]:
        """Returns what the graph makes of the raw feature of each example."""
        if self._cache is None:
            return self._graph.of_raw(batch)
        keys = [_sha256_of(record) for record in batch]
        known = {key: value for key in set(keys) if (value := self._cache.get(key)) is not None}
        new = {key: record for key, record in zip(keys, batch, strict=True) if key not in known}
        if new:
            made = dict(zip(new, self._graph.of_raw(list(new.values())), strict=True))
            for key, value in made.items():
                self._cache.put(key, value)
            known |= made
        beam.metrics.Metrics.counter(COUNTERS, "made").inc(len(new))
        beam.metrics.Metrics.counter(COUNTERS, "kept").inc(len(keys) - len(new))
        return [known[key] for key in keys]


def _sha256_of(record: bytes) -> bytes:
    sha256: bytes = tf.train.Example.FromString(record).features.feature[features.SHA256].bytes_list.value[0]
    return sha256


def _joined(one: bytes, other: bytes) -> bytes:
    example = tf.train.Example.FromString(one)
    example.MergeFromString(other)
    joined: bytes = example.SerializeToString(deterministic=True)
    return joined

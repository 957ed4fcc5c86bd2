"""What Beam's workers do for statistics. They import this module, so it must not import TFX."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from transforms import features
from transforms.modalities import MODALITIES
from transforms.records import read_records

# Examples that are in memory together.
BATCH = 32
# Masks, and the raw feature of each modality: pictures and texts, of which nothing but their number is looked at.
CONTENTS = frozenset({features.MASK, *(modality.raw for modality in MODALITIES.values())})
FILE_NAME = "FeatureStats.pb"


class ReadShard(beam.DoFn):
    """Reads one file of examples: (split, path) -> (split, batch) of every few examples."""

    def setup(self) -> None:
        """Makes what parses examples."""
        self._decoder = ExamplesToRecordBatchDecoder()

    def process(self, element: tuple[str, str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yields each batch, without contents."""
        split, path = element
        for records in read_records([path]).batch(BATCH).as_numpy_iterator():
            yield split, without_contents(self._decoder.DecodeBatch(records))


def without_contents(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch in which each value of CONTENTS is empty; their numbers in each example stay."""
    columns = list(batch.columns)
    for place, name in enumerate(batch.schema.names):
        if name in CONTENTS:
            lengths = pc.list_value_length(columns[place]).to_pylist()
            empty = [None if length is None else [b""] * length for length in lengths]
            columns[place] = pa.array(empty, columns[place].type)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def write_statistics(found: statistics_pb2.DatasetFeatureStatisticsList, folders: Mapping[str, str]) -> None:
    """Writes the statistics of each split, a data set named after it, into its folder as TFX does."""
    for one in found.datasets:
        path = os.path.join(folders[one.name], FILE_NAME)
        one.ClearField("name")
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(statistics_pb2.DatasetFeatureStatisticsList(datasets=[one]).SerializeToString())

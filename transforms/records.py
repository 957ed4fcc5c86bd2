"""Files of examples: how they are read, and how one example is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """Reads TFRecord files, one after the other: serialised tf.Examples, each scalar string.

    As in Beam, a file is gzipped where its name ends in `.gz`. Pictures are not: pixels shrink by a quarter, and that
    takes longer than all of Transform.
    """

    @tf.autograph.experimental.do_not_convert
    def records_of(file: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(file, tf.where(tf.strings.regex_full_match(file, r".*\.gz"), "GZIP", ""))

    return tf.data.Dataset.from_tensor_slices(list(files)).flat_map(records_of)


def serialise(values: Mapping[str, Any]) -> bytes:
    """Returns a tf.Example; the same values give the same bytes.

    Args:
        values: By name bytes, or a number, or an array of either, of any shape.
    """
    feature = {name: _feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def _feature(value: Any) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    items = np.ravel(value)
    if items.dtype.kind in "OS":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=items))
    if np.issubdtype(items.dtype, np.integer):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=items))
    return tf.train.Feature(float_list=tf.train.FloatList(value=items))

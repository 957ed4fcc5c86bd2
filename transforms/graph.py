"""The Transform graph applied to raw examples, in two parts that depend on different things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from transforms import features
from transforms.records import serialise

_OTHERS = (features.LABEL, features.BOXES, features.MASK, features.SHA256, features.GROUP)

Part: TypeAlias = Callable[[tf.Tensor], dict[str, tf.Tensor | tf.SparseTensor]]


class TransformGraph:
    """Applies a Transform graph to serialised raw tf.Examples.

    What it makes of the raw feature alone depends on that, on code and on settings. Labels depend on the vocabulary
    too, which a single new example may change.
    """

    def __init__(self, output: tft.TFTransformOutput, raw: str):
        """Loads the graph.

        Args:
            output: Of a Transform graph, with the schema of its input.
            raw: Name of the raw feature.
        """
        self._loader = SavedModelLoader(output.transform_savedmodel_dir)
        spec = output.raw_feature_spec()
        self._of_raw = self._part({raw: spec[raw]})
        self._of_others = self._part({name: spec[name] for name in _OTHERS if name in spec})

    def of_raw(self, records: Sequence[bytes]) -> list[bytes]:
        """Returns what is made of the raw feature of each example, as serialised tf.Examples."""
        return _rows(self._of_raw(tf.constant(records)))

    def of_others(self, records: Sequence[bytes]) -> list[bytes]:
        """Returns what the task makes of labels, `key` and, where there are groups, `group` of each, as tf.Examples."""
        return _rows(self._of_others(tf.constant(records)))

    def _part(self, spec: Mapping[str, Any]) -> Part:
        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
        def part(records: tf.Tensor) -> dict[str, tf.Tensor | tf.SparseTensor]:
            return self._loader.apply_transform_model(tf.io.parse_example(records, spec))

        return part


def _rows(columns: Mapping[str, tf.Tensor | tf.SparseTensor]) -> list[bytes]:
    dense = {
        name: _of_each(column) if isinstance(column, tf.SparseTensor) else column.numpy()
        for name, column in columns.items()
    }
    return [serialise(dict(zip(dense, row, strict=True))) for row in zip(*dense.values(), strict=True)]


def _of_each(column: tf.SparseTensor) -> list[np.ndarray]:
    """Returns the values of each row, of the column's type also where there are none."""
    dtype = column.dtype.as_numpy_dtype
    return [np.array(values, dtype) for values in tf.RaggedTensor.from_sparse(column).to_list()]

"""One pass over a split that fills every cache of it which has gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer_module.trunk.store import Shards


@dataclass
class Gaps:
    """Shards of one cut that have to be written.

    Attributes:
        shards: Of the cut.
        numbers: Of the shards.
    """

    shards: Shards
    numbers: frozenset[int]
    _open: list[np.ndarray] = field(default_factory=list)
    _held: int = 0

    def rows(self) -> np.ndarray:
        """bool [rows]: which rows are to be computed."""
        wanted = np.zeros(self.shards.rows, bool)
        for number in self.numbers:
            rows = self.shards.rows_of(number)
            wanted[rows.start : rows.stop] = True
        return wanted

    def take(self, first_row: int, rows: np.ndarray) -> None:
        """Takes rows that follow each other and belong to one shard, and writes the shard when it is complete."""
        number = first_row // self.shards.rows_per_shard
        if number not in self.numbers:
            return
        self._open.append(rows)
        self._held += len(rows)
        if self._held == len(self.shards.rows_of(number)):
            self.shards.write(number, b"".join(np.ascontiguousarray(part).tobytes() for part in self._open))
            self._open, self._held = [], 0


def fill(
    trunk: keras.Model, batches: tf.data.Dataset, gaps: Sequence[Gaps], dtypes: Sequence[tf.DType], tell: Callable
) -> None:
    """Runs the trunk over batches and keeps what it gives.

    Args:
        trunk: From inputs to a list with one output for each of `gaps`.
        batches: (rows int64 [batch], inputs), the rows in rising order; a batch lies within one shard of each cut.
        gaps: What to write.
        dtypes: In which numbers of each are kept.
        tell: Called with the number of rows done.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    _, spec = batches.element_spec

    @tf.function(autograph=False, input_signature=[spec])
    def run(inputs: Any) -> list[tf.Tensor]:
        outputs = trunk(inputs, training=False)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return [tf.cast(output, dtype) for output, dtype in zip(outputs, dtypes, strict=True)]

    done = 0
    for rows, inputs in batches:
        first = int(rows[0])
        for gap, output in zip(gaps, run(inputs), strict=True):
            gap.take(first, output.numpy())
        done += len(rows)
        tell(done)


def any_rows(gaps: Iterable[Gaps]) -> np.ndarray:
    """bool [rows]: which rows any of them needs."""
    return np.logical_or.reduce([gap.rows() for gap in gaps])

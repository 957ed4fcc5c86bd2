"""One pass over a split that fills every cache of it which has gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module.frozen_features.store import Shards
from transforms.inputs import NetworkInput

Trunk = Callable[[NetworkInput], list[tf.Tensor]]


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


def trunk_step(trunk: Trunk, spec: Any, dtypes: Sequence[tf.DType]) -> Trunk:
    """Compiles a trunk.

    Args:
        trunk: From inputs to a list with one output for each cut.
        spec: Of the inputs.
        dtypes: In which numbers of each are kept.
    """

    @tf.function(autograph=False, input_signature=[spec])
    def step(inputs: NetworkInput) -> list[tf.Tensor]:
        return [tf.cast(output, dtype) for output, dtype in zip(trunk(inputs), dtypes, strict=True)]

    return step


def fill(step: Trunk, batches: tf.data.Dataset, gaps: Sequence[Gaps], tell: Callable[[int], None]) -> None:
    """Runs the trunk over batches and keeps what it gives.

    Args:
        step: From `trunk_step`, with one output for each of `gaps`.
        batches: (rows int64 [batch], inputs), the rows in rising order; a batch lies within one shard of each cut.
        gaps: What to write.
        tell: Called with the number of rows done.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    done = 0
    for rows, inputs in batches:
        first = int(rows[0])
        for gap, output in zip(gaps, step(inputs), strict=True):
            gap.take(first, output.numpy())
        done += len(rows)
        tell(done)


def any_rows(gaps: Iterable[Gaps]) -> np.ndarray:
    """bool [rows]: which rows any of them needs."""
    return np.logical_or.reduce([gap.rows() for gap in gaps])

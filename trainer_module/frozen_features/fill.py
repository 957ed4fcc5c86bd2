"""One pass over a split through the frozen layers, which fills all shards that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module.frozen_features.store import Shards
from transforms.inputs import NetworkInput

FrozenPart = Callable[[NetworkInput], list[tf.Tensor]]


@dataclass
class Gaps:
    """Gaps are the shards of one cut that have to be written.

    Attributes:
        shards: All shards of the cut.
        numbers: Numbers of those to be written.
    """

    shards: Shards
    numbers: frozenset[int]
    _open: list[np.ndarray] = field(default_factory=list)
    _held: int = 0

    @property
    def size(self) -> int:
        """Counts the bytes that have to be written."""
        return int(self.rows().sum()) * self.shards.row_bytes

    def rows(self) -> np.ndarray:
        """Returns which rows are to be computed, bool [rows]."""
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


def compiled(frozen: FrozenPart, spec: Any, dtypes: Sequence[tf.DType]) -> FrozenPart:
    """Compiles the frozen part of a network.

    Args:
        frozen: Gives for inputs a list with the output of each cut.
        spec: Specification of the inputs.
        dtypes: Types in which the numbers of each are kept.
    """

    @tf.function(autograph=False, input_signature=[spec])
    def step(inputs: NetworkInput) -> list[tf.Tensor]:
        return [tf.cast(output, dtype) for output, dtype in zip(frozen(inputs), dtypes, strict=True)]

    return step


def fill(step: FrozenPart, batches: tf.data.Dataset, gaps: Sequence[Gaps], tell: Callable[[int], None]) -> None:
    """Runs the frozen part over batches and keeps what it gives.

    Args:
        step: The compiled frozen part, with one output for each of `gaps`.
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
    """Returns which rows any of them needs, bool [rows]."""
    return np.logical_or.reduce([gap.rows() for gap in gaps])

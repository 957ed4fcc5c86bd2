"""What a phase trains and validates on, as `tf.data`: examples, or what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig
from trainer_module.examples.input_data import PARALLEL, Split, Target, endless, iterable, views_of
from trainer_module.frozen_features.rows import Rows

# Rows of a file that are on their way at the same time.
PARALLEL_READS = 16


@dataclass(frozen=True)
class Feed:
    """A feed joins batches and the network that takes them."""

    model: keras.Model  # Leads from the inputs in `batches` to probabilities.
    batches: tf.data.Dataset  # (inputs, labels).
    kept: Kept | None = None  # What they are read from: a file of rows goes with the last reference to it.


@dataclass(frozen=True)
class Feeds:
    """Feeds hold both feeds of a phase."""

    train: Feed  # Endless batches.
    val: Feed  # One pass.
    row: dict[str, Any] = field(default_factory=dict)  # What the phase's row of the summary says of them.


@dataclass(frozen=True)
class Kept:
    """Kept holds frozen features of each example of a split, in memory or in a file."""

    rows: Rows
    targets: Target  # Tensors [examples, ...]: what each example of the split is compared with, in their order.
    shape: tuple[int, ...]  # Of what is kept of one example.
    stored: tf.DType  # Type of its numbers.
    dtype: tf.DType  # Type that they had.

    @cached_property
    def held(self) -> tf.Tensor | None:
        """The rows in memory, [rows, *shape]; None where each is read from the file when it is needed."""
        if self.rows.values is None:
            return None
        # DLPack of NumPy does not know bfloat16.
        bits = np.uint16 if self.stored == tf.bfloat16 else self.stored.as_numpy_dtype
        values = self.rows.values.view(bits).reshape(self.rows.count, *self.shape)
        # Whoever asks first may be the function of a dataset, whose tensors are of no use to others.
        with tf.init_scope(), tf.device("/cpu:0"):
            # Shares the memory: a copy would need twice the budget.
            return tf.bitcast(tf.experimental.dlpack.from_dlpack(values.__dlpack__()), self.stored)

    def batches(
        self,
        examples: tf.data.Dataset,
        batch_size: int,
        row_of: Callable[[tf.Tensor], tf.Tensor] = lambda number: number,
    ) -> tf.data.Dataset:
        """Reads batches with what examples are compared with.

        Args:
            examples: Pairs of scalar int64: a position that does not matter, and the number of an example.
            row_of: Says which row is read for an example.
        """
        return (self._read if self.held is None else self._gather)(examples, batch_size, row_of)

    def _gather(self, examples: tf.data.Dataset, batch_size: int, row_of: Callable) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def gather(_: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, Target]:
            kept = tf.gather(self.held, row_of(numbers))
            return tf.cast(kept, self.dtype), self._targets_of(numbers)

        return examples.batch(batch_size).map(gather)

    def _read(self, examples: tf.data.Dataset, batch_size: int, row_of: Callable) -> tf.data.Dataset:
        row_bytes, file = self.rows.row_bytes, self.rows.path

        @tf.autograph.experimental.do_not_convert
        def read(_: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
            start = row_of(number) * row_bytes
            return tf.data.FixedLengthRecordDataset(file, row_bytes, start, buffer_size=row_bytes).take(1)

        @tf.autograph.experimental.do_not_convert
        def decode(raw: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, Target]:
            values = tf.reshape(tf.io.decode_raw(raw, self.stored), [-1, *self.shape])
            return tf.cast(values, self.dtype), self._targets_of(example[1])

        found = examples.interleave(
            read, cycle_length=PARALLEL_READS, num_parallel_calls=min(PARALLEL_READS, PARALLEL), deterministic=True
        )
        pairs = tf.data.Dataset.zip((found, examples))
        return pairs.batch(batch_size).map(decode, num_parallel_calls=PARALLEL)

    def _targets_of(self, numbers: tf.Tensor) -> Target:
        return tf.nest.map_structure(lambda each: tf.gather(each, numbers), self.targets)


def training_rows(
    split: Split,
    kept: Kept,
    batch_size: int,
    seed: int,
    config: AugmentationConfig,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Returns the batches of `training_batches`, with what is kept of each example, or copy of it, in place of it."""
    views = views_of(split, config, seed)

    def batches_of(numbers: tf.data.Dataset, epoch_seed: tf.Tensor, epoch: tf.Tensor) -> tf.data.Dataset:
        if views is None:
            return kept.batches(numbers, batch_size)
        return kept.batches(numbers, batch_size, lambda number: views.row(number, epoch))

    elements = tf.data.Dataset.range(split.examples)
    return endless(split, elements, seed, batch_size, first_epoch, first_step, batches_of)


def evaluation_rows(kept: Kept, batch_size: int) -> tf.data.Dataset:
    """Returns the batches of `evaluation_batches`, with what is kept of each example in place of it."""
    numbers = tf.data.Dataset.range(kept.rows.count).enumerate()
    return iterable(kept.batches(numbers, batch_size))

"""Input pipelines of the Trainer: the only place that reads transformed examples.

The order of examples, their shuffling and their augmentation are functions of the seed and the epoch alone, whatever
order Beam wrote them in and however many threads read them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from finetune import cpus
from finetune.config import AugmentationConfig
from finetune.errors import DataError
from trainer_module.distillation.taught import Taught, TaughtLabels
from trainer_module.examples.augmentation import MOVED
from trainer_module.examples.by_length import by_length
from trainer_module.examples.mixing import MixedLabels, mix
from trainer_module.modalities import MODALITIES
from transforms import features
from transforms.inputs import Inputs, NetworkInput
from transforms.records import read_records
from transforms.tasks import Labels

# Splits that are not held in memory are shuffled within a window.
SHUFFLE_WINDOW = 4096
PARALLEL = cpus.available()
PREFETCHED = 4

# What training compares with: labels, or what a teacher said beside them.
Target: TypeAlias = tf.Tensor | TaughtLabels


@dataclass(frozen=True)
class Split:
    """A split holds transformed examples."""

    records: tf.data.Dataset  # Serialised tf.Examples, each scalar string.
    examples: int  # How many there are.
    inputs: Inputs  # How the network's input is read of them.
    labels: Labels  # How their labels are read.
    digest: str  # Digest of the examples, whatever order they are in.
    contents: np.ndarray  # uint8 [examples, 32]: the digest of what the network reads of each example, in their order.
    keys: Sequence[str]  # Of each example, in their order.
    lengths: np.ndarray  # int64 [examples]: the words of each, in their order; 0 where all examples cost the same.
    groups: Sequence[str]  # What several examples share, in their order; empty where the data do not say it.
    taught: Taught | None = None  # What a teacher said of each, where there is one.

    @cached_property
    def label_of_each(self) -> tf.Tensor:
        """Reads the label of each example, in their order; `labels` says more."""

        @tf.autograph.experimental.do_not_convert
        def one(record: tf.Tensor) -> tf.Tensor:
            return self.labels.read(tf.io.parse_single_example(record, self.labels.feature_spec()))

        batches = self.records.map(one, num_parallel_calls=PARALLEL).batch(1024)
        return tf.constant(np.concatenate(list(iterable(batches).as_numpy_iterator())))

    @property
    def shuffle_window(self) -> int:
        """Returns how many examples are shuffled together."""
        return min(self.examples, SHUFFLE_WINDOW)

    def steps(self, batch_size: int) -> int:
        """Counts the batches in one pass; the last may be smaller."""
        return math.ceil(self.examples / batch_size)


def load_split(patterns: Sequence[str], inputs: Inputs, labels: Labels, memory_bytes: int = 2 * 1024**3) -> Split:
    """Opens the TFRecord files that match `patterns`.

    A split of up to `memory_bytes`, uncompressed, is held in memory; a larger one is streamed from its files in each
    epoch.

    Raises:
        DataError: There is no example in them.
    """
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    stream = read_records(files)
    held: list[bytes] | None = []
    rows: list[_Row] = []
    held_bytes = digest = 0
    for record in iterable(stream).as_numpy_iterator():
        row, one = _row(record, inputs)
        rows.append(row)
        # A sum does not depend on the order, in which Beam may write as it likes.
        digest += one
        held_bytes += len(record)
        if held is not None:
            held.append(record)
        if held_bytes > memory_bytes:
            held = None
    if not rows:
        raise DataError(f"no examples in {', '.join(patterns)}; expected the transformed examples of a split.")
    records = stream
    if held is not None:
        order = sorted(range(len(rows)), key=lambda place: rows[place].key)
        rows = [rows[place] for place in order]
        # As one array: of a list, TensorFlow looks for the type of each element, which takes milliseconds each.
        records = tf.data.Dataset.from_tensor_slices(np.array([held[place] for place in order], dtype=object))
    contents = np.frombuffer(b"".join(row.content for row in rows), np.uint8).reshape(len(rows), -1)
    shared = [row.group for row in rows if row.group is not None]
    keys = [row.key.decode() for row in rows]
    lengths = np.array([row.length for row in rows])
    return Split(records, len(rows), inputs, labels, f"{digest:x}", contents, keys, lengths, shared)


@dataclass(frozen=True)
class _Row:
    """What is known of an example beside what the network reads."""

    key: bytes
    group: str | None
    content: bytes  # Digest of what the network reads.
    length: int  # Its words, where short ones cost less.


def _row(record: bytes, inputs: Inputs) -> tuple[_Row, int]:
    """Returns what is known of an example, and the digest of all of it."""
    example = tf.train.Example.FromString(record)
    feature = example.features.feature
    key = feature[features.KEY].bytes_list.value[0]
    group = feature[features.GROUP].bytes_list.value[0].decode() if features.GROUP in feature else None
    length = inputs.length(feature)
    content = hashlib.sha256()
    for name in sorted(inputs.feature_spec()):
        content.update(feature[name].SerializeToString(deterministic=True))
        del feature[name]
    rest = example.SerializeToString(deterministic=True)
    of_all = hashlib.sha256(content.digest() + rest).digest()
    return _Row(key, group, content.digest(), length), int.from_bytes(of_all, "big")


def with_teacher(split: Split, taught: Taught) -> Split:
    """Returns the split with what a teacher said beside the labels."""
    return replace(split, taught=taught, digest=f"{split.digest} {taught.digest}")


def both(train: Split, val: Split) -> Split:
    """Returns the examples of two splits as one, those of the first before those of the second.

    A teacher has been asked about both, or about neither.
    """
    return replace(
        train,
        records=train.records.concatenate(val.records),
        examples=train.examples + val.examples,
        digest=f"{train.digest}+{val.digest}",
        contents=np.concatenate([train.contents, val.contents]),
        keys=[*train.keys, *val.keys],
        lengths=np.concatenate([train.lengths, val.lengths]),
        groups=[*train.groups, *val.groups],
        taught=train.taught + val.taught if train.taught and val.taught else None,
    )


def of_rows(split: Split, wanted: np.ndarray) -> Split:
    """Returns some examples of a split, bool [examples], in their order."""
    table, numbers = tf.constant(wanted), np.flatnonzero(wanted).tolist()

    @tf.autograph.experimental.do_not_convert
    def is_wanted(number: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        return table[number]

    @tf.autograph.experimental.do_not_convert
    def record_alone(number: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        return record

    return replace(
        split,
        records=split.records.enumerate().filter(is_wanted).map(record_alone),
        examples=len(numbers),
        digest=f"{split.digest} {hashlib.sha256(np.packbits(wanted).tobytes()).hexdigest()}",
        contents=split.contents[numbers],
        keys=[split.keys[number] for number in numbers],
        lengths=split.lengths[numbers],
        groups=[split.groups[number] for number in numbers] if split.groups else split.groups,
        taught=split.taught.of_rows(wanted) if split.taught else None,
    )


def training_batches(
    split: Split, batch_size: int, seed: int, config: AugmentationConfig, first_epoch: int = 0, first_step: int = 0
) -> tf.data.Dataset:
    """Returns endless batches, epoch after epoch, shuffled and augmented anew in each.

    Args:
        batch_size: Examples a batch, over all devices together.
        seed: Seed of shuffling and augmentation.
        first_epoch: Epoch to begin with; epoch N is the same whether one starts at 0 or at N.
        first_step: Batch of that epoch to begin with; those before it are left out, and the others are the same.

    Returns:
        (what `split.inputs` finishes, what `split.labels` reads, batched); `split.steps` batches an epoch. Where a
        teacher was asked, the labels are `TaughtLabels`; where the config makes pairs of examples, `MixedLabels`.
    """
    views, augment = views_of(split, config, seed), MODALITIES[split.inputs.modality].augment
    teacher = split.taught and (tf.constant(split.taught.probabilities), tf.constant(split.taught.known))

    def batches_of(examples: tf.data.Dataset, epoch_seed: tf.Tensor, epoch: tf.Tensor) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def one(position: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[NetworkInput, Target]:
            number, record = example
            value, label = parse(record, split)
            if config.is_active:
                own = [views.seed, views.row(number, epoch)] if views else [epoch_seed, position]
                if split.labels.task.places:
                    assert not isinstance(value, dict), "places are in a picture"
                    label = MOVED[split.labels.task.places](label, tf.stack(own), config, *value.shape[:2])
                value = augment(value, tf.stack(own), config)
            if teacher:
                label = TaughtLabels(label, *(tf.gather(each, number) for each in teacher))
            return split.inputs.finish(value), label

        @tf.autograph.experimental.do_not_convert
        def paired(position: tf.Tensor, batch: tuple[NetworkInput, Target]) -> tuple[NetworkInput, MixedLabels]:
            # No example has a negative position.
            return mix(*batch, tf.stack([epoch_seed, -1 - first_batch - position]), config)

        batches = examples.map(one, num_parallel_calls=PARALLEL).batch(batch_size)
        if not config.mixes:
            return batches
        first_batch = tf.where(epoch == first_epoch, tf.cast(first_step, tf.int64), 0)
        return batches.enumerate().map(paired, num_parallel_calls=PARALLEL)

    return endless(split, split.records.enumerate(), seed, batch_size, first_epoch, first_step, batches_of)


@dataclass(frozen=True)
class Views:
    """Views are changed copies of each example, a fixed number of them, which epochs use in turn."""

    count: int  # Copies of each example.
    seed: tf.Tensor  # int64 scalar; what changes them.
    starts: tf.Tensor  # int64 [examples], the copy that each example has in epoch 0.

    def row(self, number: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Returns the number of an example's copy in an epoch: those of the first copy of each come first."""
        return (tf.gather(self.starts, number) + epoch) % self.count * len(self.starts) + number


def views_of(split: Split, config: AugmentationConfig, seed: int) -> Views | None:
    """Returns the copies that the config asks for; None when every epoch changes examples anew, or none does."""
    if config.views == "fresh" or not config.is_active:
        return None
    starts = tf.random.stateless_uniform([split.examples], [seed, 0], maxval=config.views, dtype=tf.int64)
    return Views(config.views, tf.constant(seed, tf.int64), starts)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Returns one pass in a fixed order, without augmentation: the same elements as `training_batches`."""

    @tf.autograph.experimental.do_not_convert
    def one(record: tf.Tensor) -> tuple[NetworkInput, tf.Tensor]:
        value, label = parse(record, split)
        return split.inputs.finish(value), label

    batches = split.records.map(one, num_parallel_calls=PARALLEL).batch(batch_size)
    return iterable(batches)


def numbered_inputs(
    split: Split, wanted: np.ndarray, batch_size: int, config: AugmentationConfig | None = None, seed: int = 0
) -> tf.data.Dataset:
    """Returns one pass over chosen examples, or over all their copies where there are some.

    They are in the order of the split, or where short ones cost less, in batches of about one length.

    Args:
        wanted: bool [rows]: which of them.
        config: Augmentation of the copies; None leaves examples as they are.

    Returns:
        (int64 [batch], the numbers of the rows; inputs, as in `evaluation_batches`).
    """
    table = tf.constant(wanted)
    views = views_of(split, config, seed) if config else None
    augment = MODALITIES[split.inputs.modality].augment

    @tf.autograph.experimental.do_not_convert
    def copy_of_all(copy: tf.Tensor) -> tf.data.Dataset:
        return split.records.enumerate(copy * split.examples)

    @tf.autograph.experimental.do_not_convert
    def one(row: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, NetworkInput]:
        value = parse(record, split)[0]
        if config and views:
            value = augment(value, tf.stack([views.seed, row]), config)
        return row, split.inputs.finish(value)

    @tf.autograph.experimental.do_not_convert
    def is_wanted(row: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        return table[row]

    copies = views.count if views else 1
    chosen = tf.data.Dataset.range(copies).flat_map(copy_of_all).filter(is_wanted)
    if split.lengths.any():
        chosen = by_length(chosen, np.tile(split.lengths, copies), batch_size, tf.constant(seed, tf.int64))
    return iterable(chosen.map(one, num_parallel_calls=PARALLEL).batch(batch_size))


def labels(split: Split) -> tf.Tensor:
    """Returns the label of each example in the order of the split: int64 [examples], or as the task has it.

    They are read once.
    """
    return split.label_of_each


def targets(split: Split) -> Target:
    """Returns what training compares each example with, in the order of the split."""
    return split.taught.beside(labels(split)) if split.taught else labels(split)


def parse(record: tf.Tensor, split: Split) -> tuple[NetworkInput, tf.Tensor]:
    spec = {**split.inputs.feature_spec(), **split.labels.feature_spec()}
    example = tf.io.parse_single_example(record, spec)
    return split.inputs.read(example), split.labels.read(example)


def endless(
    split: Split,
    elements: tf.data.Dataset,
    seed: int,
    batch_size: int,
    first_epoch: int,
    first_step: int,
    batches_of: Callable[[tf.data.Dataset, tf.Tensor, tf.Tensor], tf.data.Dataset],
) -> tf.data.Dataset:
    """Returns epoch after epoch of elements, one for each example, shuffled into the same order whatever they are.

    Where short examples cost less, a batch has examples of about one length.
    """

    @tf.autograph.experimental.do_not_convert
    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.cast(seed, tf.int64) * 1_000_003 + epoch
        shuffled = elements.shuffle(split.shuffle_window, seed=epoch_seed, reshuffle_each_iteration=False)
        if split.lengths.any():
            shuffled = by_length(shuffled, split.lengths, batch_size, epoch_seed)
        left_out = tf.where(epoch == first_epoch, tf.cast(first_step * batch_size, tf.int64), 0)
        return batches_of(shuffled.enumerate().skip(left_out), epoch_seed, epoch)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return iterable(epochs.flat_map(epoch_of))


def iterable(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches, without tuning, and lets several workers split batches between them.

    TensorFlow's tuner of parallelism runs in a thread that may miss its end, and then keeps the end of an iterator
    waiting for up to a minute. Workers split by element, as there is no file list to split.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(PREFETCHED).with_options(options)

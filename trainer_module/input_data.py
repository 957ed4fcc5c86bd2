"""Input pipelines of the Trainer: the only place that reads transformed examples.

The order of examples, their shuffling and their augmentation are functions of the seed and the epoch alone, whatever
order Beam wrote them in and however many threads read them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from pipeline.config import AugmentationConfig
from pipeline.errors import DataError
from trainer_module import augmentation
from transforms import features
from transforms.inputs import Inputs, NetworkInput

# Splits of up to this size are held in memory, compressed pictures as they are on disk uncompressed; larger ones are
# streamed from their files each epoch and shuffled within a window.
MEMORY_BUDGET_BYTES = 2 * 1024**3
SHUFFLE_WINDOW = 4096


@dataclass(frozen=True)
class Split:
    """Transformed examples of one split.

    Attributes:
        records: Serialised tf.Examples, each scalar string.
        examples: How many there are.
        inputs: How the network's input is read of them.
        digest: Of the examples, whatever order they are in.
    """

    records: tf.data.Dataset
    examples: int
    inputs: Inputs
    digest: str

    def steps(self, batch_size: int) -> int:
        """Batches in one pass; the last may be smaller."""
        return math.ceil(self.examples / batch_size)


def load_split(patterns: Sequence[str], inputs: Inputs) -> Split:
    """Opens the gzipped TFRecord files that match `patterns`.

    Raises:
        DataError: There is no example in them.
    """
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    stream = tf.data.TFRecordDataset(files, compression_type="GZIP")
    held: list[bytes] | None = []
    held_bytes = examples = digest = 0
    for record in stream.as_numpy_iterator():
        examples += 1
        # A sum does not depend on the order, in which Beam may write as it likes.
        digest += int.from_bytes(hashlib.sha256(record).digest(), "big")
        held_bytes += len(record)
        if held is not None:
            held.append(record)
        if held_bytes > MEMORY_BUDGET_BYTES:
            held = None
    if not examples:
        raise DataError(f"no examples in {', '.join(patterns)}; expected the transformed examples of a split.")
    if held is not None:
        held.sort(key=_key_of)
        stream = tf.data.Dataset.from_tensor_slices(held)
    return Split(stream, examples, inputs, f"{digest:x}")


def training_batches(
    split: Split,
    batch_size: int,
    seed: int,
    config: AugmentationConfig,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Endless batches, epoch after epoch, shuffled and augmented anew in each.

    Args:
        split: Training examples.
        batch_size: Examples a batch, over all devices together.
        seed: Of shuffling and augmentation.
        config: Augmentation strengths.
        first_epoch: Epoch to begin with; epoch N is the same whether one starts at 0 or at N.
        first_step: Batch of that epoch to begin with; those before it are left out, and the others are the same.

    Returns:
        (what `split.inputs` finishes, batched; label int64 [batch]); `split.steps` batches an epoch.
    """
    augmented = augmentation.is_active(config)

    @tf.autograph.experimental.do_not_convert
    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.cast(seed, tf.int64) * 1_000_003 + epoch
        records = split.records.shuffle(
            min(split.examples, SHUFFLE_WINDOW), seed=epoch_seed, reshuffle_each_iteration=False
        )

        @tf.autograph.experimental.do_not_convert
        def one(position: tf.Tensor, record: tf.Tensor) -> tuple[NetworkInput, tf.Tensor]:
            value, label = _parse(record, split.inputs)
            if augmented:
                value = augmentation.augment(value, tf.stack([epoch_seed, position]), config)
            return split.inputs.finish(value), label

        left_out = tf.where(epoch == first_epoch, tf.cast(first_step * batch_size, tf.int64), 0)
        return records.enumerate().skip(left_out).map(one, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return _unsharded(epochs.flat_map(epoch_of)).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """One pass in a fixed order, without augmentation: the same elements as `training_batches`."""

    @tf.autograph.experimental.do_not_convert
    def one(record: tf.Tensor) -> tuple[NetworkInput, tf.Tensor]:
        value, label = _parse(record, split.inputs)
        return split.inputs.finish(value), label

    batches = split.records.map(one, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
    return _unsharded(batches).prefetch(tf.data.AUTOTUNE)


def label_counts(split: Split, classes: int) -> list[int]:
    """How many examples of each class there are, by label."""
    counts = [0] * classes
    for record in split.records.as_numpy_iterator():
        counts[_feature(record, features.LABEL_INDEX).int64_list.value[0]] += 1
    return counts


def keys(split: Split) -> list[str]:
    """The key of each example, in the order of `evaluation_batches`."""
    return [_key_of(record).decode() for record in split.records.as_numpy_iterator()]


def _parse(record: tf.Tensor, inputs: Inputs) -> tuple[NetworkInput, tf.Tensor]:
    spec = {**inputs.feature_spec(), features.LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    example = tf.io.parse_single_example(record, spec)
    return inputs.read(example), example[features.LABEL_INDEX]


def _key_of(record: bytes) -> bytes:
    return _feature(record, features.KEY).bytes_list.value[0]


def _feature(record: bytes, name: str) -> tf.train.Feature:
    return tf.train.Example.FromString(record).features.feature[name]


def _unsharded(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Lets several workers split batches between them by element; there is no file list to split."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)

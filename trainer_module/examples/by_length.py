"""Batches of texts of about one length, which cost what their longest text does."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Batches whose examples are sorted together. More would spare little, and mix examples less from epoch to epoch.
TOGETHER = 16


def by_length(examples: tf.data.Dataset, lengths: np.ndarray, batch_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Sorts examples within windows of TOGETHER batches, and shuffles the batches of each window.

    Args:
        examples: Those of an epoch, shuffled, or of another pass; of each, the first or only component is its number,
            scalar int64.
        lengths: int [examples], of each example by its number.
        batch_size: Examples that will be a batch.
        seed: Scalar int64; the same seed gives the same order.

    Returns:
        The same examples; only the last batch may be smaller.
    """
    of_each = tf.constant(lengths)

    @tf.autograph.experimental.do_not_convert
    def sort(window: tf.Tensor, components: tuple[tf.Tensor, ...]) -> tf.data.Dataset:
        count = tf.shape(components[0])[0]
        ascending = tf.argsort(tf.gather(of_each, components[0]), stable=True)
        whole = count // batch_size
        places = tf.random.experimental.stateless_shuffle(tf.range(whole), tf.stack([seed, window]))
        # What is left over is no whole batch, and so the last one.
        batch_of = tf.concat([places, [whole]], axis=0)
        order = tf.gather(ascending, tf.argsort(tf.gather(batch_of, tf.range(count) // batch_size), stable=True))
        return tf.data.Dataset.from_tensor_slices(tuple(tf.gather(each, order) for each in components))

    is_number = isinstance(examples.element_spec, tf.TensorSpec)
    pairs = examples.map(lambda number: (number,)) if is_number else examples
    found = pairs.batch(TOGETHER * batch_size).enumerate().flat_map(sort)
    return found.map(lambda number: number) if is_number else found

"""Batches of texts of about one length: every example once, in an order that only the seed decides, at a low cost."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer_module.examples.by_length import TOGETHER, by_length

LENGTHS = np.random.default_rng(0).geometric(0.05, 999)


def epoch(seed: int, batch_size: int = 8, count: int = len(LENGTHS)) -> list[np.ndarray]:
    shuffled = tf.data.Dataset.range(count).shuffle(count, seed=seed, reshuffle_each_iteration=False)
    ordered = by_length(shuffled, LENGTHS, batch_size, tf.constant(seed, tf.int64))
    return list(ordered.batch(batch_size).as_numpy_iterator())


def test_each_example_comes_once_and_the_last_batch_alone_is_smaller():
    batches = epoch(1)
    assert sorted(np.concatenate(batches)) == list(range(999))
    assert [len(batch) for batch in batches] == [8] * 124 + [7]


def test_batches_have_texts_of_about_one_length():
    def cost(batches: list[np.ndarray]) -> int:
        return sum(LENGTHS[batch].max() * len(batch) for batch in batches)

    order = np.random.default_rng(1).permutation(999)
    assert cost(epoch(1)) < 1.3 * LENGTHS.sum() < 0.5 * cost(np.array_split(order, 125))


def test_the_seed_alone_decides_the_order_and_long_texts_have_no_place_of_their_own():
    one, again, other = epoch(1), epoch(1), epoch(2)
    assert np.array_equal(np.concatenate(one), np.concatenate(again))
    assert not np.array_equal(np.concatenate(one), np.concatenate(other))
    longest = [int(np.argmax([LENGTHS[batch].max() for batch in epoch(seed)[:TOGETHER]])) for seed in range(6)]
    assert len(set(longest)) > 2


@pytest.mark.parametrize("count", [1, 7, 8])
def test_few_examples_are_a_batch(count):
    assert [len(batch) for batch in epoch(1, count=count)] == [count]


def test_what_comes_with_an_example_stays_with_it():
    names = tf.constant([f"text {number}" for number in range(len(LENGTHS))])
    shuffled = tf.data.Dataset.from_tensor_slices(names).enumerate().shuffle(999, seed=3)
    for number, name in by_length(shuffled, LENGTHS, 8, tf.constant(3, tf.int64)).as_numpy_iterator():
        assert name == b"text %d" % number

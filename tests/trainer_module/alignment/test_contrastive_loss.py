"""The loss of CLIP and its gradient, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from trainer_module.alignment.objective import contrastive_loss, contrastive_objective, found_in_batch  # noqa: E402
from trainer_module.alignment.vectors import Vectors  # noqa: E402

SCALE = 7.0


def unit(rows: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, 5))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def independent(image: np.ndarray, text: np.ndarray, scale: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Losses of each pair, and the slopes of their sum by both sides and the scale, from the formula in float64."""
    similar = scale * image @ text.T
    shares = [np.exp(each - each.max(axis=1, keepdims=True)) for each in (similar, similar.T)]
    rows, columns = (share / share.sum(axis=1, keepdims=True) for share in shares)
    losses = -(np.log(np.diag(rows)) + np.log(np.diag(columns))) / 2
    slope = (rows + columns.T) / 2 - np.eye(len(image))
    return losses, [scale * slope @ text, scale * slope.T @ image, (slope * (image @ text.T)).sum()]


def test_loss_and_gradient_are_those_of_the_formula():
    image, text = unit(6, 1), unit(6, 2)
    given = [tf.constant(each, tf.float32) for each in (image, text, SCALE)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        losses = contrastive_loss(given[0], given[1], tf.ones(6, bool), given[2])
        total = tf.reduce_sum(losses)
    expected, slopes = independent(image, text, SCALE)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for found, slope in zip(tape.gradient(total, given), slopes, strict=True):
        np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-5)


def test_what_lacks_a_side_has_no_part():
    image, text = unit(6, 1), unit(6, 2)
    pairs = np.array([True, True, False, True, False, True])
    given = [tf.constant(each, tf.float32) for each in (image, text)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        losses = contrastive_loss(*given, tf.constant(pairs), tf.constant(SCALE))
        total = tf.reduce_sum(losses)
    np.testing.assert_allclose(losses.numpy()[pairs], independent(image[pairs], text[pairs], SCALE)[0], rtol=1e-5)
    assert not losses.numpy()[~pairs].any()
    for slope in tape.gradient(total, given):
        assert not slope.numpy()[~pairs].any()
        assert np.isfinite(slope).all()


def test_of_a_single_pair_there_is_nothing_to_tell_apart():
    image = tf.constant(unit(2, 1), tf.float32)
    assert not contrastive_loss(image, image, tf.constant([True, False]), tf.constant(SCALE)).numpy().any()
    assert not contrastive_loss(image, image, tf.zeros(2, bool), tf.constant(SCALE)).numpy().any()


def test_the_network_tells_the_objective_all_that_it_needs():
    image, text = unit(4, 1), unit(4, 2)
    there = np.array([[1, 1], [1, 1], [1, 0], [1, 1]])
    output = Vectors.joined(*(tf.constant(each, tf.float32) for each in (image, text)), tf.constant(there), SCALE)
    found = Vectors.of(output)
    np.testing.assert_array_equal(found.there, there > 0)
    assert float(found.scale) == SCALE
    whole = there.all(axis=1)
    losses = contrastive_objective().loss(tf.zeros(4, tf.int64), output)
    np.testing.assert_allclose(losses.numpy()[whole], independent(image[whole], text[whole], SCALE)[0], rtol=1e-5)


def test_what_is_shown_beside_the_loss_is_whether_the_own_text_is_nearest():
    vectors = tf.constant(unit(3, 1), tf.float32)
    assert found_in_batch(vectors, vectors, tf.constant([True, True, False])).numpy().tolist() == [1, 1, 0]
    assert found_in_batch(vectors, tf.roll(vectors, 1, 0), tf.ones(3, bool)).numpy().tolist() == [0, 0, 0]

"""The factors of an update and their merge, against plain loops. NumPy alone."""

from __future__ import annotations

import numpy as np

from trainer_module.peft.low_rank import initial, matrix_shape, merged, rank_of


def test_the_network_begins_as_it_was_and_seeds_and_names_draw_their_own():
    a, b = initial((50, 7), 3, seed=1, name="one")
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((50, 3), (3, 7), np.float32, np.float32)
    assert not b.any()
    assert abs(a.std() * np.sqrt(50) - 1) < 0.2
    np.testing.assert_array_equal(a, initial((50, 7), 3, seed=1, name="one")[0])
    assert not np.array_equal(a, initial((50, 7), 3, seed=2, name="one")[0])
    assert not np.array_equal(a, initial((50, 7), 3, seed=1, name="two")[0])


def test_what_is_merged_is_the_sum_element_by_element():
    random = np.random.default_rng(0)
    kernel = random.standard_normal((2, 3, 4, 5)).astype(np.float32)
    rows, columns = matrix_shape(kernel.shape, 3)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((rows, 2), (2, columns)))
    found = merged(kernel, a, b, 0.5)
    for y, x, channel, unit in np.ndindex(kernel.shape):
        row = (y * 3 + x) * 4 + channel
        update = 0.5 * sum(float(a[row, k]) * float(b[k, unit]) for k in range(2))
        np.testing.assert_allclose(found[y, x, channel, unit], kernel[y, x, channel, unit] + update, rtol=0, atol=1e-6)


def test_an_update_of_nothing_leaves_every_bit():
    kernel = np.array([[-0.0, 1.0]], np.float32)
    found = merged(kernel, np.ones((1, 1), np.float32), np.zeros((1, 2), np.float32), 2.0)
    assert found.tobytes() == kernel.tobytes()


def test_no_update_has_a_rank_above_the_kernels_own():
    assert [rank_of((9, 96), rank) for rank in (4, 9, 16)] == [4, 9, 9]

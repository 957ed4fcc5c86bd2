"""What trainings from one start came to, and the mean of it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tf_keras as keras

from trainer_module.phases.state import Snapshot
from trainer_module.search.kept_weights import KeptWeights

pytestmark = pytest.mark.by_test


@pytest.fixture
def model():
    with_counter = keras.Sequential([keras.layers.Dense(2, input_shape=(3,)), keras.layers.Dense(1)])
    with_counter.counter = with_counter.add_weight(name="counter", shape=(), dtype="int64", trainable=False)
    return with_counter


def values(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def test_the_mean_counts_each_training_alike_and_leaves_what_none_changed(tmp_path, model):
    kept = KeptWeights(tmp_path / "search", model, Snapshot.of(model))
    kernel, offset = model.layers[0].weights
    start = kernel.numpy()
    kernel.assign(start + 3)
    kept.keep("one")
    kernel.assign(start)
    offset.assign([6, 0])
    model.counter.assign(5)
    kept.keep("two")
    kernel.assign(start + 6)
    offset.assign([0, 0])
    model.counter.assign(8)
    top = [weights.tobytes() for weights in values(model.layers[1])]
    kept.average_with(["one", "two"])
    np.testing.assert_allclose(kernel.numpy(), start + 3, rtol=1e-6)
    np.testing.assert_allclose(offset.numpy(), [2, 0])
    assert model.counter.numpy() == 8, "a count has no mean"
    assert [weights.tobytes() for weights in values(model.layers[1])] == top


def test_what_was_kept_comes_back_bit_by_bit_in_another_process_that_begins_alike(tmp_path, model):
    kept = KeptWeights(tmp_path, model, Snapshot.of(model))
    start = values(model)
    model.layers[1].weights[0].assign([[0.1], [0.7]])
    wanted = [value.tobytes() for value in values(model)]
    kept.keep("one")
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    again = KeptWeights(tmp_path, model, Snapshot.of(model))
    model.layers[0].weights[0].assign(np.ones((3, 2)))
    again.bring("one")
    assert [value.tobytes() for value in values(model)] == wanted


def test_only_what_changed_is_written(tmp_path, model):
    kept = KeptWeights(tmp_path, model, Snapshot.of(model))
    kept.keep("none")
    kept.average_with(["none"])
    model.layers[0].weights[0].assign(np.ones((3, 2)))
    kept.keep("one")
    assert (tmp_path / "none.safetensors").stat().st_size < (tmp_path / "one.safetensors").stat().st_size

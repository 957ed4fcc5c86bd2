"""Data that barely suffice: partial batches, batches larger than the data, a class with one example, a single class."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from small_training import INPUTS, LABELS, fit, make_splits, training, transformed, write

from finetune.config import AugmentationConfig, HeadConfig, PhaseConfig
from finetune.errors import DataError
from trainer_module.tasks import TASKS

tf = pytest.importorskip("tensorflow")
input_data = importlib.import_module("trainer_module.examples.input_data")
recipe = importlib.import_module("trainer_module.recipe")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize(("batch_size", "parts"), [(8, 1), (64, 4)])
def test_every_example_counts_once_in_partial_batches_and_in_batches_larger_than_the_data(splits, batch_size, parts):
    """At a rate of next to nothing, what training adds up over 21 examples is what validation finds on them."""
    phase = PhaseConfig(name="head", epochs=2, learning_rate=1e-30, optimizer={"name": "sgd", "momentum": 0})
    config = training(
        phases=[phase], batch_size=batch_size, gradient_accumulation_steps=parts, head=HeadConfig(units=[], dropout=0)
    )
    _, _, (row,), curves = fit((splits[0], splits[0]), config, augmentation=AugmentationConfig())
    assert row["epochs"] == 2
    for point in curves:
        assert point["loss"] == pytest.approx(point["val_loss"], rel=1e-5)
        assert point["accuracy"] == pytest.approx(point["val_accuracy"])


def test_a_class_with_one_example_trains_and_can_be_balanced(splits, tmp_path):
    records = transformed(21)
    train = input_data.load_split([write(tmp_path / "a.gz", [records[1], *records[::2]])], INPUTS, LABELS)
    found = input_data.labels(train).numpy()
    assert np.bincount(found).tolist() == [11, 1]
    assert TASKS["single_label"].class_weights("balanced", ["dark", "bright"], found) == [12 / 22, 6.0]
    phase = PhaseConfig(name="head", epochs=1, learning_rate=1e-2)
    _, _, _, (point,) = fit((train, splits[1]), training(phases=[phase]))
    assert all(math.isfinite(point[name]) for name in ("loss", "val_loss"))


def test_a_single_class_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"data: got one class, 'rose'; expected at least two"):
        recipe.check_classes(["rose"])
    recipe.check_classes(["rose", "tulip"])


def test_a_step_of_one_example(splits):
    phase = PhaseConfig(name="head", steps=2, learning_rate=1e-2)
    config = training(phases=[phase], batch_size=1, gradient_accumulation_steps=3)
    model, _, (row,), _ = fit(splits, config)
    assert row["epochs"] == 1
    assert all(np.isfinite(weights).all() for weights in model.get_weights())

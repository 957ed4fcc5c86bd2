"""Parts of train that are held out in their turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from small_training import INPUTS, LABELS, make_splits, transformed, write

from trainer_module.distillation.taught import Taught
from trainer_module.examples.input_data import evaluation_batches, labels, load_split, of_rows, with_teacher
from trainer_module.search.parts import parts_of_train

pytestmark = pytest.mark.by_test_current


def pixels(split) -> list[np.ndarray]:
    return [example for values, _ in evaluation_batches(split, 4) for example in values.numpy()]


@pytest.mark.parametrize("memory_bytes", [2**31, 0])
def test_some_rows_of_a_split_are_those_examples_in_their_order(tmp_path, memory_bytes):
    whole = load_split([write(tmp_path / "train.gz", transformed(21))], INPUTS, LABELS, memory_bytes)
    whole = replace(whole, groups=[f"patient {number // 2}" for number in range(21)])
    whole = with_teacher(whole, Taught(np.random.default_rng(0).random((21, 2)), np.ones(21)))
    wanted = np.arange(21) % 3 == 1
    some, others = of_rows(whole, wanted), of_rows(whole, ~wanted)
    assert some.examples == 7
    np.testing.assert_array_equal(pixels(some), np.array(pixels(whole))[wanted])
    np.testing.assert_array_equal(labels(some), labels(whole).numpy()[wanted])
    np.testing.assert_array_equal(some.contents, whole.contents[wanted])
    np.testing.assert_array_equal(some.taught.probabilities, whole.taught.probabilities[wanted])
    assert some.keys == list(np.array(whole.keys)[wanted])
    assert some.groups == list(np.array(whole.groups)[wanted])
    assert len(some.lengths) == 7
    assert len({some.digest, others.digest, whole.digest}) == 3


def test_each_part_is_held_out_once_and_all_else_trains(tmp_path):
    files = [write(tmp_path / f"{count}.gz", transformed(count, count)) for count in (40, 8)]
    train, val = (load_split([file], INPUTS, LABELS) for file in files)
    val = replace(val, keys=[f"val {key}" for key in val.keys])
    parts = parts_of_train(train, val, seed=1)
    assert [part.number for part in parts] == [1, 2, 3, 4]
    held_out = [key for part in parts for key in part.held_out.keys]
    assert len(held_out) == len(set(held_out)) == 32, "as many as of validation each, and none twice"
    assert set(held_out) <= set(train.keys)
    for part in parts:
        assert sorted(labels(part.held_out).numpy()) == [0] * 4 + [1] * 4
        assert sorted([*part.train.keys, *part.held_out.keys]) == sorted([*train.keys, *val.keys])
    again, other = (parts_of_train(train, val, seed) for seed in (1, 2))
    assert [part.held_out.keys for part in again] == [part.held_out.keys for part in parts]
    assert other[0].held_out.keys != parts[0].held_out.keys


def test_a_group_is_in_one_part(tmp_path):
    train, val = make_splits(tmp_path)
    train = replace(train, groups=[f"patient {number // 4}" for number in range(21)])
    val = replace(val, groups=["someone else"] * 9)
    for part in parts_of_train(train, val, seed=1):
        assert not set(part.held_out.groups) & set(part.train.groups)

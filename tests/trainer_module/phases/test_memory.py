"""Memory that runs out: batches in more parts, the same gradient, and the change told and kept."""

from __future__ import annotations

import os

import numpy as np
import pytest
from small_training import make_splits, setup_of, training

from finetune.config import CheckpointConfig, PhaseConfig
from finetune.errors import RunError
from finetune.events import Note
from trainer_module.phases.checkpoint import Checkpoints

tf = pytest.importorskip("tensorflow")
from trainer_module.phases import program  # noqa: E402
from trainer_module.phases import run as phases  # noqa: E402


def test_parts_of_batches_halve_down_to_one_example_a_replica():
    parts, found = 1, []
    while parts:
        found.append(parts)
        parts = phases.more_accumulation_steps(parts, batch_size=20, replicas=2)
    assert found == [1, 2, 4, 8, 10]
    assert phases.more_accumulation_steps(1, batch_size=1, replicas=1) is None
    assert phases.more_accumulation_steps(1, batch_size=3, replicas=8) is None


def test_gpus_give_memory_as_it_is_needed():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def room_for(parts_needed: int, tried: list[int], monkeypatch) -> None:
    """Makes the third step of each attempt with fewer parts run out of memory, after it has spoilt the weights."""
    made = program.train_step

    def make(model, variables, optimizer, loss, steps, *others):
        tried.append(steps)
        step = made(model, variables, optimizer, loss, steps, *others)
        calls = []

        def limited(batch):
            calls.append(1)
            totals = step(batch)
            if steps < parts_needed and len(calls) == 3:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,8]")
            return totals

        return limited

    monkeypatch.setattr(program, "train_step", make)


def short(**changes):
    return training(phases=[PhaseConfig(name="head", steps=4, learning_rate=1e-2)], **changes)


def opened(folder, **config) -> Checkpoints:
    return Checkpoints(folder, "same", CheckpointConfig(**config), "Trainer")


def test_memory_that_runs_out_cuts_batches_into_more_parts_and_keeps_the_batch(splits, tmp_path, monkeypatch, heard):
    by_hand = setup_of(splits, short(gradient_accumulation_steps=4))
    expected = phases.run_phases(by_hand, opened(tmp_path / "a"))

    tried: list[int] = []
    with monkeypatch.context() as patch:
        room_for(4, tried, patch)
        setup = setup_of(splits, short())
        state = phases.run_phases(setup, opened(tmp_path / "b"))
    assert tried == [1, 2, 4], "two attempts in vain"
    # Nothing of the failed attempts is left: the same weights, bit by bit, as with four parts from the start.
    for one, other in zip(by_hand.model.get_weights(), setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert state.curves == expected.curves
    assert [row["gradient_accumulation_steps"] for row in state.rows] == [4]
    told = [event.text for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(told) == 2
    assert "memory ran out in phase head. Each batch of 8 is now computed in 2 parts" in told[0]
    assert "training.gradient_accumulation_steps=4 would spare the attempt" in told[1]


def test_a_run_that_goes_on_keeps_what_was_found(splits, tmp_path, monkeypatch):
    tried: list[int] = []

    class Killed(Exception):
        pass

    class Mortal(Checkpoints):
        def save(self, state):
            super().save(state)
            if state.gradient_accumulation_steps == 2:
                raise Killed  # as soon as it is written

    with monkeypatch.context() as patch:
        room_for(2, tried, patch)
        with pytest.raises(Killed):
            phases.run_phases(setup_of(splits, short()), Mortal(tmp_path, "same", CheckpointConfig(), "Trainer"))
        state = phases.run_phases(setup_of(splits, short()), opened(tmp_path))
    assert tried == [1, 2]
    assert [row["gradient_accumulation_steps"] for row in state.rows] == [2]


def test_one_example_that_does_not_fit_is_an_error_that_says_so(splits, tmp_path, monkeypatch):
    room_for(99, [], monkeypatch)
    with pytest.raises(RunError, match=r"phase head: memory ran out. Set a smaller backbone.image_size. .* OOM when"):
        phases.run_phases(setup_of(splits, short(batch_size=1)), opened(tmp_path))

"""What a phase leaves: its best or its last weights, their moving average, or a point on the line from its start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

pytest.importorskip("tensorflow")

from small_training import STRONG, make_splits, setup_of, training

from finetune.config import PhaseConfig
from trainer_module.examples.input_data import evaluation_batches
from trainer_module.heads import up_to_last_layer
from trainer_module.phases.line import INTERPOLATIONS, end_on_the_line
from trainer_module.phases.phase import run_phase
from trainer_module.phases.program import build_program, freeze
from trainer_module.phases.state import Snapshot, State

WILD = {"name": "wild", "epochs": 6, "learning_rate": 0.5, "unfreeze": "all", "early_stopping": None}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def run(splits, **keys):
    """Runs one phase; returns the state, and the weights after each update of those that it trains."""
    setup = setup_of(splits, training(phases=[PhaseConfig(**{**WILD, **keys})]), STRONG)
    state, seen = State(), []
    run_phase(setup, state, keep=lambda state: seen.append(state.kept()), is_due=lambda step: True)
    return setup.model, state, seen


def test_the_last_weights_are_kept_where_the_phase_says_so(splits):
    _, best, _ = run(splits)
    model, last, seen = run(splits, keep="last")
    assert best.rows[0]["best_epoch"] < 6, "a rate this wild was meant to spoil the last epochs"
    assert (last.rows[0]["best_epoch"], last.rows[0]["val_loss"]) == (6, last.curves[-1]["val_loss"])
    assert last.curves == best.curves
    for variable, weights in zip(model.get_weights(), seen[-1].now.weights, strict=True):
        np.testing.assert_array_equal(variable, weights)


def test_a_moving_average_is_validated_and_kept_and_training_goes_on_from_the_weights(splits):
    _, plain, updates = run(splits, keep="last", epochs=2)
    model, averaged, others = run(splits, keep="last", epochs=2, ema=0.8)
    for one, other in zip(updates, others, strict=True):
        for here, there in zip(one.now.weights, other.now.weights, strict=True):
            np.testing.assert_array_equal(here, there)
    assert [point["loss"] for point in plain.curves] == [point["loss"] for point in averaged.curves]
    assert plain.curves[-1]["val_loss"] != averaged.curves[-1]["val_loss"]
    # A state is kept before the first update, within epochs after each but the last, and at their ends.
    expected = [weights.astype(np.float64) for weights in updates[0].now.weights]
    for state in updates[1:]:
        expected = [0.8 * mean + 0.2 * new for mean, new in zip(expected, state.now.weights, strict=True)]
    for variable, mean, value in zip(model.variables, expected, model.get_weights(), strict=True):
        if "moving_" not in variable.name and variable.dtype.is_floating:
            np.testing.assert_allclose(value, mean, rtol=2e-4, atol=1e-5, err_msg=variable.name)


def test_a_phase_ends_on_the_line_where_validation_is_best_or_at_the_share_asked_for(splits):
    model, found, seen = run(splits, interpolation="validation", keep="last")
    start, end, (row,) = seen[0].now.weights, seen[-1].now.weights, found.rows
    share = row["interpolation"]
    assert share in INTERPOLATIONS
    assert share < 1, "after so wild a phase its end is not best"
    assert row["val_loss"] < found.curves[-1]["val_loss"]
    for variable, one, other in zip(model.variables, start, end, strict=True):
        if variable.dtype.is_floating:
            np.testing.assert_allclose(variable, (1 - share) * one + share * other, rtol=1e-5, atol=1e-6)

    same, fixed, _ = run(splits, interpolation=share, keep="last")
    assert fixed.rows[0]["val_loss"] == row["val_loss"]
    for value, again in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(value, again)
    assert "interpolation" not in run(splits)[1].rows[0]


def test_a_model_that_will_be_served_at_a_temperature_ends_where_that_makes_it_best(splits):
    _, trained, _ = run(splits, epochs=20, learning_rate=1e-2)
    *others, kernel, offset = trained.best.weights
    noise = np.random.default_rng(2).normal(0, 2 * kernel.std(), kernel.shape).astype(np.float32)
    start = Snapshot([*others, 0.2 * (kernel + noise), 0.2 * offset], trained.best.slots)
    # Right about more, and unsure of it, which the temperature takes back.
    end = Snapshot([*others, 0.1 * kernel, 0.1 * offset], trained.best.slots)
    found = {}
    for calibration in ("none", "temperature"):
        phase = PhaseConfig(**{**WILD, "interpolation": "validation"})
        setup = setup_of(splits, training(phases=[phase], calibration=calibration))
        feeds = setup.frozen_features.feeds(0, 0, 0)
        program = build_program(setup, freeze(setup, 0), feeds, 1, {})
        found[calibration] = end_on_the_line(setup, program, State(start=start, best=end), feeds.val).share
    below, losses = up_to_last_layer(setup.model), {}
    for share in INTERPOLATIONS:
        for variable, one, other in zip(setup.model.variables, start.weights, end.weights, strict=True):
            variable.assign((1 - share) * one + share * other if variable.dtype.is_floating else one)
        kernel, offset = setup.model.layers[-1].get_weights()
        batches = list(evaluation_batches(splits[1], 4))
        labels = np.concatenate([each for _, each in batches])
        logits = np.concatenate([below(inputs) for inputs, _ in batches]) @ kernel + offset
        temperatures = np.exp(np.linspace(np.log(0.05), np.log(20), 2_000))
        of_each = [-log_softmax(logits / each, axis=1)[np.arange(len(labels)), labels] for each in temperatures]
        # The prior of the temperature counts as one example.
        with_prior = [each.sum() + np.log(t) ** 2 / 2 for each, t in zip(of_each, temperatures, strict=True)]
        losses[share] = of_each[np.argmin(with_prior)].mean()
    assert found["none"] < found["temperature"] == min(losses, key=lambda share: losses[share])

"""Heads that are trained in one batch end as the Trainer's do; a kill changes nothing of a search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from finetune.config import AugmentationConfig, CheckpointConfig, EvaluationConfig, TrainingConfig, TuningConfig
from finetune.events import Epoch, TrialFinished, TrialStarted, subscribe

pytest.importorskip("tensorflow")

from small_training import SMALL, make_splits, setup_of

from trainer_module.fitted_head import below_last_layer
from trainer_module.phases import program
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.run import run_phases
from trainer_module.search.record import Found
from trainer_module.tuning import trials as trials_module
from trainer_module.tuning.proposals import Proposal
from trainer_module.tuning.record import TrialsRecord
from trainer_module.tuning.run import run_tuning
from trainer_module.tuning.trials import Trials, logits_of

pytestmark = pytest.mark.by_test

PLAIN = AugmentationConfig()
RATE = "training.phases[0].learning_rate"


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def training(**changes) -> TrainingConfig:
    head = {"name": "head", "epochs": 6, "learning_rate": 1e-2, "early_stopping": {"patience": 2}}
    defaults = {"batch_size": 8, "frozen_features": "on", "head": {"units": []}, "phases": [head]}
    return TrainingConfig(**{**defaults, **changes})


def trained_alone(splits, folder, config: TrainingConfig):
    """Trains as the Trainer does; returns the logits of the validation examples, and the epochs."""
    setup = setup_of(splits, config, PLAIN, folder=folder / "kept")
    state = run_phases(setup, Checkpoints(folder / "alone", "same", CheckpointConfig(), "Trainer"))
    return logits_of(setup, below_last_layer), len(state.curves)


def trials_of(splits, folder, config: TrainingConfig, task="single_label") -> Trials:
    setup = setup_of(splits, config, PLAIN, folder=folder / "kept", task=task)

    def opened(of_trial, number):
        return Checkpoints(folder / str(number), "same", CheckpointConfig(), "Tuner")

    return Trials(setup, SMALL, opened)


def outcomes_of(trials: Trials, proposals) -> dict:
    return {each.proposal.number: each for each in itertools.chain.from_iterable(trials.run(proposals))}


TUNE = {"name": "tune", "unfreeze": {"last_layers": 5}, "epochs": 2, "learning_rate": 1e-3}
CASES = {
    "linear": ({"head": {"units": [], "dropout": 0}}, {RATE: 0.05}),
    "dropout without a hidden layer": ({"head": {"units": [], "dropout": 0.3}}, {"training.head.dropout": 0.5}),
    "hidden layers": ({"head": {"units": [8, 4], "dropout": 0.2}}, {RATE: 3e-3, "training.head.dropout": 0.4}),
    "penalties": ({"head": {"units": [], "l2": 0.1}}, {"training.head.l1": 0.05, RATE: 0.03}),
    "momentum": (
        {"phases": [{"name": "head", "epochs": 4, "learning_rate": 0.1, "optimizer": "sgd", "schedule": "cosine"}]},
        {"training.phases[0].optimizer.momentum": 0.5},
    ),
    "decay and warm-up": (
        {
            "phases": [
                {
                    "name": "head",
                    "epochs": 4,
                    "learning_rate": 0.1,
                    "optimizer": {"name": "adamw", "weight_decay": 0.1},
                    "schedule": {"name": "exponential", "decay_steps": 2, "warmup_epochs": 1},
                    "keep": "last",
                }
            ]
        },
        {"training.phases[0].optimizer.weight_decay": 0.5, "training.phases[0].epochs": 5},
    ),
    "a second phase": (
        {"head": {"units": [8], "dropout": 0.2}, "phases": [training().phases[0].model_dump(mode="json"), TUNE]},
        {RATE: 0.03},
    ),
    "smoothing": ({"label_smoothing": 0.1}, {RATE: 0.02, "training.label_smoothing": 0.3}),
    "smoothing of one alone": ({}, {RATE: 0.02, "training.label_smoothing": 0.2}),
    "batches of another size": ({"head": {"units": [6], "dropout": 0.3}}, {"training.batch_size": 5}),
}


# Each of the others changes one more key.
QUICK = ("hidden layers", "decay and warm-up", "a second phase")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.long) for case in CASES]
)
def test_a_batched_trial_is_what_the_trainer_makes_of_the_same_values(splits, tmp_path, case):
    changes, values = CASES[case]
    config = training(**changes)
    trials = trials_of(splits, tmp_path, config)
    proposals = [Proposal(0, {}), Proposal(1, values), Proposal(2, {RATE: 1e-4})]
    outcomes = outcomes_of(trials, proposals)
    assert all(each.batched and not each.failed for each in outcomes.values())
    for proposal in proposals:
        with_values, _ = trials_module.with_values(config, PLAIN, proposal.values)
        logits, epochs = trained_alone(splits, tmp_path / f"{proposal.number}", with_values)
        found = outcomes[proposal.number]
        assert found.epochs == epochs
        np.testing.assert_allclose(found.logits, logits, rtol=2e-3, atol=2e-3)
    assert np.abs(outcomes[1].logits - outcomes[0].logits).max() > 0.01, "the values were meant to change something"


def test_trials_that_differ_in_numbers_alone_are_compiled_once(splits, tmp_path, monkeypatch):
    config = training(
        head={"units": [8], "dropout": 0.2, "l2": 0.01},
        label_smoothing=0.1,
        phases=[training().phases[0].model_dump(mode="json"), TUNE],
    )
    proposals = [
        Proposal(0, {}),
        Proposal(1, {"training.phases[1].learning_rate": 3e-3, "training.batch_size": 5, "training.head.l2": 0.1}),
        Proposal(2, {"training.label_smoothing": 0.3, "training.head.dropout": 0.5, RATE: 0.03}),
    ]
    expected = {}
    for each in proposals:
        alone, _ = trials_module.with_values(config, PLAIN, each.values)
        expected[each.number], _ = trained_alone(splits, tmp_path / f"{each.number}", alone)
    made, compiled = program.train_step, []
    monkeypatch.setattr(program, "train_step", lambda *given: compiled.append(given) or made(*given))
    outcomes = outcomes_of(trials_of(splits, tmp_path, config), proposals)
    assert len(compiled) == 1
    for number, logits in expected.items():
        np.testing.assert_allclose(outcomes[number].logits, logits, rtol=2e-3, atol=2e-3)


def test_what_cannot_be_batched_is_trained_alone(splits, tmp_path):
    trials = trials_of(splits, tmp_path, training())
    proposals = [Proposal(1, {"augmentation.horizontal_flip": True}), Proposal(2, {RATE: 0.05})]
    outcomes = outcomes_of(trials, proposals)
    assert {number: each.batched for number, each in outcomes.items()} == {1: False, 2: True}


def test_a_head_whose_numbers_go_bad_fails_alone(splits, tmp_path):
    trials = trials_of(splits, tmp_path, training(head={"units": [], "l2": 1.0}))
    config = {"training.phases[0].optimizer": "sgd"}
    proposals = [Proposal(1, {**config, RATE: 10.0, "training.head.l2": 1e6}), Proposal(2, {**config, RATE: 1e-3})]
    outcomes = outcomes_of(trials, proposals)
    assert outcomes[1].logits is None
    assert "phase head" in outcomes[1].failed
    assert outcomes[2].logits is not None


def test_values_that_do_not_go_together_fail_alone(splits, tmp_path):
    trials = trials_of(splits, tmp_path, training())
    proposals = [Proposal(1, {"training.label_smoothing": 0.1, "training.focal_gamma": 2.0}), Proposal(2, {})]
    outcomes = outcomes_of(trials, proposals)
    assert "at most one of `label_smoothing` and `focal_gamma`" in outcomes[1].failed
    assert outcomes[2].logits is not None


def test_several_labels_are_batched_as_well(tmp_path):
    splits = make_splits(tmp_path, "multi_label")
    trials = trials_of(splits, tmp_path, training(), "multi_label")
    (outcomes,) = trials.run([Proposal(0, {}), Proposal(1, {RATE: 0.1})])
    assert all(each.batched and np.isfinite(each.logits).all() for each in outcomes)


class KilledError(Exception):
    """Stands in for a kill."""


def tuned(splits, folder, config: TrainingConfig, tuning: TuningConfig, key="key"):
    setup = setup_of(splits, config, PLAIN, folder=folder / "kept")

    def opened(of_trial, number):
        return Checkpoints(folder / "trials" / str(number), "same", CheckpointConfig(), "Tuner")

    return run_tuning(setup, SMALL, tuning, EvaluationConfig(), "single_label", folder / "trials", key, opened)


SPACE = {RATE: {"min": 1e-4, "max": 1.0, "log": True}, "training.head.dropout": [0, 0.5]}


@pytest.mark.parametrize(
    "method", ["random", *(pytest.param(each, marks=pytest.mark.long) for each in ("bayesian", "hyperband"))]
)
def test_a_killed_search_goes_on_to_the_same_trials(splits, tmp_path, monkeypatch, method):
    tuning = TuningConfig(space=SPACE, trials=8, method=method)
    expected = tuned(splits, tmp_path / "a", training(), tuning)
    kept, saves = Found.kept, [0]

    def mortal(self, folder, **changes):
        record = kept(self, folder, **changes)
        saves[0] += 1
        if saves[0] % 2:
            raise KilledError
        return record

    monkeypatch.setattr(TrialsRecord, "kept", mortal)
    for _ in range(20):
        try:
            found = tuned(splits, tmp_path / "b", training(), tuning)
            break
        except KilledError:
            continue
    assert saves[0] > 1
    assert [(each.values, each.share) for each in found.trials] == [
        (each.values, each.share) for each in expected.trials
    ]
    scores = [each.score for each in expected.trials]
    assert [each.score for each in found.trials] == pytest.approx(scores)
    assert found.best == expected.best
    assert found.nested == pytest.approx(expected.nested)


# Heads of very different worth, and phases long enough to tell.
STOPPING = {
    "space": {RATE: {"min": 1e-5, "max": 0.3, "log": True}, "training.batch_size": [4, 8]},
    "trials": 6,
    "early_stop": {"after_epochs": 2, "after_trials": 2},
}


def long_training() -> TrainingConfig:
    tune = {**TUNE, "epochs": 5, "early_stopping": None}
    return training(phases=[training().phases[0].model_dump(mode="json"), tune])


def test_trials_that_fall_behind_end_early_and_the_best_stays_the_best(splits, tmp_path):
    found = tuned(splits, tmp_path / "a", long_training(), TuningConfig(**STOPPING))
    whole = tuned(splits, tmp_path / "b", long_training(), TuningConfig(**{**STOPPING, "early_stop": "none"}))
    assert {trial.state for trial in whole.trials} == {"done"}
    assert all(not trial.courses for trial in whole.trials)
    assert 0 < len(found.stopped) < len(found.trials) - 2
    assert found.best == whole.best
    for trial, other in zip(found.trials, whole.trials, strict=True):
        (of_head, course), best = trial.courses, min(trial.courses[1])
        assert of_head == []
        if trial.state == "stopped":
            assert 2 <= len(course) < 5
            assert f"by epoch {len(course)}, {best:.4f}" in trial.reason
            assert trial.epochs == other.epochs - 5 + len(course)
        else:
            assert (len(course), trial.epochs, trial.reason) == (5, other.epochs, "")
            assert trial.score == pytest.approx(other.score, rel=1e-4)
    assert found.as_it_is.state == "done"


def test_a_killed_search_stops_the_same_trials(splits, tmp_path, monkeypatch):
    expected = tuned(splits, tmp_path / "a", long_training(), TuningConfig(**STOPPING))
    calls = [0]

    def mortal(method):
        def dies(self, *arguments, **changes):
            found = method(self, *arguments, **changes)
            calls[0] += 1
            if calls[0] % 11 == 0:
                raise KilledError
            return found

        return dies

    monkeypatch.setattr(TrialsRecord, "kept", mortal(Found.kept))
    monkeypatch.setattr(Checkpoints, "save", mortal(Checkpoints.save))
    for _ in range(10):
        try:
            found = tuned(splits, tmp_path / "b", long_training(), TuningConfig(**STOPPING))
            break
        except KilledError:
            continue
    assert calls[0] > 22, "it was killed twice"
    assert [(each.state, each.epochs) for each in found.trials] == [
        (each.state, each.epochs) for each in expected.trials
    ]
    assert found.stopped
    for one, other in zip(found.trials, expected.trials, strict=True):
        assert one.courses[1] == pytest.approx(other.courses[1], rel=1e-4)


def test_the_best_trial_has_the_best_score_of_those_that_were_trained_longest(splits, tmp_path):
    found = tuned(splits, tmp_path, training(), TuningConfig(space=SPACE, trials=7, method="hyperband"))
    assert {each.share for each in found.trials} == {1 / 3, 1.0}
    longest = [each.score for each in found.trials if each.share == 1]
    assert found.best_trial.share == 1
    assert found.best_trial.score == min(longest)


def test_one_key_at_a_time_shows_what_each_value_changes(splits, tmp_path):
    tuning = TuningConfig(space=SPACE, method="one_at_a_time", metric="accuracy", points=3)
    found = tuned(splits, tmp_path, training(), tuning)
    assert [each.values for each in found.trials] == [
        {},
        {RATE: 1e-4},
        {RATE: 1.0},
        {"training.head.dropout": 0},
    ], "the config as it is has the middle rate and the other choice"
    for effect in found.effects:
        trial = next(each for each in found.trials if each.values == {effect.key: effect.value})
        assert effect.change == pytest.approx(trial.score - found.as_it_is.score)
        assert effect.low <= effect.change <= effect.high


def test_the_search_ends_where_patience_does(splits, tmp_path):
    worse = {RATE: {"min": 1e-9, "max": 1e-8, "log": True}}
    found = tuned(splits, tmp_path, training(), TuningConfig(space=worse, trials=30, method="bayesian", patience=2))
    assert found.best == 0
    assert len(found.trials) == 4
    assert "2 trials in a row gained nothing" in found.ended_because


def test_patience_ends_trials_that_were_all_proposed_at_once(splits, tmp_path):
    """They are trained one after the other; begun again, the search is over."""
    worse = TuningConfig(space={RATE: {"min": 1e-9, "max": 1e-8}}, trials=8, patience=2, early_stop="none")
    found = tuned(splits, tmp_path, training(frozen_features="off"), worse)
    assert [each.state for each in found.trials] == ["done"] * 3 + ["left_out"] * 5
    assert "2 trials in a row gained nothing" in found.ended_because
    again = tuned(splits, tmp_path, training(frozen_features="off"), worse)
    assert (again.trials, again.ended_because) == (found.trials, found.ended_because)


def test_heads_in_one_step_are_all_trained(splits, tmp_path):
    worse = TuningConfig(space={RATE: {"min": 1e-9, "max": 1e-8}}, trials=8, patience=2)
    found = tuned(splits, tmp_path, training(), worse)
    assert [each.state for each in found.trials] == ["done"] * 8
    assert "all 8 trials are done" in found.ended_because


def test_each_trial_is_told_from_its_start_to_its_score(splits, tmp_path):
    config = training(phases=[training().phases[0].model_dump(mode="json"), TUNE])
    told = []
    with subscribe(told.append):
        found = tuned(splits, tmp_path, config, TuningConfig(space={RATE: SPACE[RATE]}, trials=2))
    for trial in found.trials:
        name = f"trial {trial.number}"
        own = [each for each in told if getattr(each, "trial", None) == name]
        assert isinstance(own[0], TrialStarted)
        assert own[0].parameters == {key.replace("[0]", ".0"): value for key, value in trial.values.items()}
        assert any(isinstance(each, Epoch) for each in own[1:-1]), "its second phase"
        assert isinstance(own[-1], TrialFinished)
        assert own[-1].metrics["loss"] == trial.score
        assert sum(isinstance(each, TrialStarted | TrialFinished) for each in own) == 2


def test_after_its_minutes_no_trial_begins(splits, tmp_path):
    space = {"augmentation.horizontal_flip": [True, False], "augmentation.shift": {"min": 0.1, "max": 0.2}}
    found = tuned(splits, tmp_path, training(), TuningConfig(space=space, trials=4, minutes=1e-6))
    assert [each.state for each in found.trials] == ["done", "left_out", "left_out", "left_out"]
    assert "minutes were used up" in found.ended_because
    assert found.best == 0

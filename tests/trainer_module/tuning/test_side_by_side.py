"""A search that several processes share ends as that of one does."""

from __future__ import annotations

import pytest

from finetune.artifacts.tuning import Tuning
from finetune.config import AugmentationConfig, CheckpointConfig, EvaluationConfig, TrainingConfig, TuningConfig
from finetune.events import TrialFinished, TrialStarted, subscribe

pytest.importorskip("tensorflow")

from small_training import SMALL, make_splits, setup_of

from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.tuning.run import run_tuning
from trainer_module.tuning.shares import Shared

pytestmark = pytest.mark.by_test

RATE = "training.phases[0].learning_rate"
HEAD = {"name": "head", "epochs": 4, "learning_rate": 1e-2}
TUNE = {"name": "tune", "unfreeze": {"last_layers": 5}, "epochs": 2, "learning_rate": 1e-3}
# Some trials end with their head, others go on.
SPACE = {"training.phases": [[HEAD], [HEAD, TUNE]], RATE: {"min": 1e-4, "max": 0.3, "log": True}}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def searched(splits, folder, helps=False, **changes) -> Tuning | None:
    training = TrainingConfig(batch_size=8, frozen_features="on", head={"units": []}, phases=[HEAD])
    tuning = TuningConfig(**{"space": SPACE, "trials": 6, "parallel": 2, **changes})
    setup = setup_of(splits, training, AugmentationConfig(), folder=folder / "kept")

    def opened(of_trial, number):
        return Checkpoints(folder / "trials" / str(number), "same", CheckpointConfig(), "Tuner")

    own = EvaluationConfig(), "single_label", folder / "trials", "key", opened, helps
    return run_tuning(setup, SMALL, tuning, *own)


@pytest.fixture(scope="module")
def alone(splits, tmp_path_factory):
    """The search of one process."""
    found = searched(splits, tmp_path_factory.mktemp("alone"), parallel=1, early_stop="none")
    assert {len(trial.values.get("training.phases", [HEAD])) for trial in found.trials} == {1, 2}
    return found


def same(one: Tuning, other: Tuning) -> None:
    """Holds two searches against each other, but for their times."""
    assert [(each.number, each.values, each.epochs) for each in one.trials] == [
        (each.number, each.values, each.epochs) for each in other.trials
    ]
    assert [each.score for each in one.trials] == pytest.approx([each.score for each in other.trials], rel=1e-6)
    assert one.best == other.best
    assert one.nested == pytest.approx(other.nested, rel=1e-6)


def test_two_that_share_the_trials_find_what_one_does(splits, tmp_path, monkeypatch, alone):
    take, trained = Shared.take, {True: [], False: []}

    def of(is_helper):
        def some(self, number):
            # As if the other were busy with the rest.
            taken = not (is_helper and number % 2) and take(self, number)
            trained[is_helper] += [number] if taken else []
            return taken

        return some

    monkeypatch.setattr(Shared, "take", of(True))
    assert searched(splits, tmp_path, helps=True) is None
    monkeypatch.setattr(Shared, "take", of(False))
    told = []
    with subscribe(told.append):
        found = searched(splits, tmp_path)
    assert sorted(trained[True]) == [0, 2, 4]
    assert sorted(trained[False]) == [1, 3, 5]
    same(found, alone)
    for kind in (TrialStarted, TrialFinished):
        names = sorted(each.trial for each in told if isinstance(each, kind))
        assert names == [f"trial {number}" for number in range(6)], "the chief tells of all"


def test_what_a_killed_worker_had_begun_is_trained_by_another(splits, tmp_path, monkeypatch, alone):
    for place in ("claims", "workers"):
        (tmp_path / "trials" / place).mkdir(parents=True)
    (tmp_path / "trials" / "claims" / "2").write_text("killed")
    (tmp_path / "trials" / "workers" / "killed").write_text("its last word")
    monkeypatch.setattr(Shared.__init__, "__defaults__", (0.5,))
    same(searched(splits, tmp_path), alone)


def test_a_search_goes_on_however_many_trained_before(splits, tmp_path, alone):
    searched(splits, tmp_path, parallel=1, early_stop="none", trials=3)
    told = []
    with subscribe(told.append):
        found = searched(splits, tmp_path)
    same(found, alone)
    begun = [each.trial for each in told if isinstance(each, TrialStarted)]
    assert sorted(begun) == ["trial 3", "trial 4", "trial 5"]

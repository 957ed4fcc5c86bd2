"""Phases of one's own from a fitted head, and the last fit on train and val together; a kill changes neither."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.config import AugmentationConfig, HeadConfig, PhaseConfig

pytest.importorskip("tensorflow")

from small_training import make_splits, setup_of, training

from trainer_module import recipe
from trainer_module.examples.input_data import both, labels
from trainer_module.fitted_head import LastLayer
from trainer_module.phases.checkpoint import Checkpoints

pytestmark = pytest.mark.by_test_current

FITTED = training(
    head=HeadConfig(start="fitted"),
    refit=True,
    calibration="temperature",
    phases=[
        PhaseConfig(name="tune", unfreeze={"last_blocks": 1}, epochs=3, learning_rate=1e-2),
        PhaseConfig(name="wild", unfreeze="all", epochs=2, learning_rate=1.0, optimizer="sgd"),
    ],
)


class KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def trained(splits, folder, config=FITTED):
    setup = setup_of(splits, config, AugmentationConfig(), folder=folder / "kept")
    return setup, recipe.train(setup, {"checkpoint_dir": str(folder / "checkpoints")}, "key")


def test_a_head_starts_fitted_and_a_phase_that_goes_back_to_its_start_leaves_it(splits, tmp_path):
    back = FITTED.phases[1].model_copy(update={"interpolation": 0.0})
    config = FITTED.model_copy(update={"refit": False, "phases": [back]})
    setup, found = trained(splits, tmp_path, config)
    fitted = setup_of(splits, config, AugmentationConfig())
    probe = LastLayer(fitted).fit(fitted.train)
    assert found.rows[0]["epochs"] == 2
    np.testing.assert_array_equal(setup.model.layers[-1].get_weights()[0], probe.kernel)
    assert found.refit is None
    np.testing.assert_array_equal(found.held_out.labels, labels(splits[1]))


def test_the_last_fit_sees_all_examples_and_goes_on_after_a_kill(splits, tmp_path, monkeypatch):
    undisturbed, expected = trained(splits, tmp_path / "a")
    assert expected.refit.examples == 30
    assert expected.refit.steps == 3 * expected.rows[0]["best_epoch"] + 3 * expected.rows[1]["best_epoch"]
    assert expected.held_out.examples == "the validation split"
    save, lives = Checkpoints.save, [0]

    def mortal(self, state):
        save(self, state)
        lives[0] -= 1
        if lives[0] == 0:
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", mortal)
    kills = 0
    for life in (2, 4, 4, 3, 3, 1000):
        lives[0] = life
        try:
            setup, found = trained(splits, tmp_path / "b")
            break
        except KilledError:
            kills += 1
    assert kills >= 3
    assert found.held_out.logits.tolist() == expected.held_out.logits.tolist()
    for one, other in zip(undisturbed.model.get_weights(), setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_last_fit_says_that_validation_is_trained_on_and_no_other_does(splits, tmp_path, heard):
    trained(splits, tmp_path)
    told = [(event.trial, event.val_is_trained_on) for event in heard if event.kind in ("epoch", "phase_finished")]
    assert set(told) == {("", False), ("refit", True)}


def test_two_splits_as_one_have_the_examples_of_both_in_order(splits):
    together = both(*splits)
    assert together.keys == [*splits[0].keys, *splits[1].keys]
    assert together.steps(8) == 4
    assert together.digest not in (splits[0].digest, splits[1].digest)

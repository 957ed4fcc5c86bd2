"""Probes of an earlier task on the features before and after training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from small_training import SMALL, make_splits, setup_of, training

from finetune.config import AugmentationConfig, HeadConfig, PhaseConfig
from finetune.errors import RunError
from trainer_module import recipe, source_probe
from trainer_module.fitted_head import HEAD_ALONE
from trainer_module.phases.state import Snapshot
from trainer_module.source_probe import probe, probe_source
from trainer_module.warm_start.start import Beginning

pytestmark = pytest.mark.by_test_current

PLAIN = AugmentationConfig()
HEAD = PhaseConfig(name="head", epochs=2, learning_rate=1e-2)
TUNE = PhaseConfig(name="tune", unfreeze="all", epochs=2, learning_rate=1e-2)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def state_of(splits, folder, *phases):
    """What a training leaves."""
    setup = setup_of(splits, training(phases=list(phases), batch_norm="frozen"), PLAIN, folder=folder / "kept")
    beginning = Beginning(setup, SMALL)
    recipe.train(setup, {"checkpoint_dir": str(folder / "checkpoints")}, "key")
    return beginning.state(setup, Snapshot.of(setup.model).weights, 1.0, "")


def probing(splits, folder, cache):
    """A setup to probe, and the names of the labels."""
    asked = training(head=HeadConfig(units=[], dropout=0.0), phases=[HEAD_ALONE], frozen_features={"cache": cache})
    setup = setup_of(splits, asked, PLAIN, folder=folder / "kept")
    return setup, ["bright" if label else "dark" for label in np.array(setup.train.label_of_each)]


@pytest.mark.parametrize("cache", ["off", "on"])
def test_a_backbone_that_stayed_as_it_was_has_forgotten_exactly_nothing(splits, tmp_path, cache):
    state = state_of(splits, tmp_path, HEAD)
    setup, _ = probing(splits, tmp_path, cache)
    # Of such labels a probe is right by chance: other folds or features would be right elsewhere.
    labels = np.random.default_rng(3).permuted([*"ab" * 10, "c"])
    found = probe(setup, labels, state)
    assert (found.forgotten, found.gained, found.retention) == (0, 0, 0.0)
    assert (found.examples, found.classes) == (21, 3)
    assert 0 < found.before < 1


@pytest.mark.parametrize("cache", ["off", "on"])
def test_a_backbone_that_gives_nothing_any_more_has_forgotten_it(splits, tmp_path, cache):
    state = state_of(splits, tmp_path, HEAD)
    broken = {place: np.zeros_like(value) for place, value in state.backbone.items()}
    found = probe(*probing(splits, tmp_path, cache), dataclasses.replace(state, backbone=broken))
    assert found.after < 0.6 < found.before
    assert found.retention == pytest.approx(found.after - found.before)


def test_both_probes_see_what_training_changed(splits, tmp_path):
    state = state_of(splits, tmp_path, HEAD, TUNE)
    setup, labels = probing(splits, tmp_path, "on")
    before = [variable.numpy() for variable in setup.backbone.variables]
    probe(setup, labels, state)
    after = [variable.numpy() for variable in setup.backbone.variables]
    assert any((one != two).any() for one, two in zip(before, after, strict=True))
    for place, value in state.backbone.items():
        np.testing.assert_array_equal(after[place], value)


def test_a_training_that_left_no_weights_is_an_error(splits, tmp_path, monkeypatch):
    setup, _ = probing(splits, tmp_path, "off")
    monkeypatch.setattr(source_probe, "make_setup", lambda *_: setup)
    with pytest.raises(RunError, match="has no weights"):
        probe_source({"training": {}}, None, "", {}, str(tmp_path))

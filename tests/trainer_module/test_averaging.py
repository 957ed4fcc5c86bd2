"""Test-time augmentation: what is exported averages a picture with its mirror image where asked to or where it pays."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.config import AugmentationConfig, HeadConfig

pytest.importorskip("tensorflow")

from small_training import make_splits, setup_of, training

from trainer_module import fitted_head, recipe
from trainer_module.averaging import with_averaging
from trainer_module.examples.input_data import both, evaluation_batches, labels
from trainer_module.fitted_head import LastLayer
from trainer_module.mirror_images import averaged
from trainer_module.trained import HeldOut, Trained

pytestmark = pytest.mark.by_test

FLIPS = AugmentationConfig(horizontal_flip=True)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def given(model, split, change=lambda pictures: pictures):
    batches = evaluation_batches(split, 4)
    return np.concatenate([model(change(value), training=False).numpy() for value, _ in batches])


def mirror(pictures):
    return pictures[:, :, ::-1]


def test_probabilities_are_those_of_the_mean_logits_and_the_same_of_a_mirror_image(splits):
    setup = setup_of(splits, training(), FLIPS)
    plain, other = given(setup.model, setup.val), given(setup.model, setup.val, mirror)
    assert np.abs(plain - other).max() > 1e-4, "the network was meant to tell the two apart"
    # Up to what is the same for all classes, the logarithm of a softmax is its logit.
    product = np.sqrt(plain * other)
    expected = product / product.sum(axis=1, keepdims=True)
    network = averaged(setup.model)
    np.testing.assert_allclose(given(network, setup.val), expected, atol=1e-5)
    np.testing.assert_allclose(given(network, setup.val, mirror), expected, atol=1e-5)
    mean = LastLayer(setup).logits_of_both(setup.val).mean(axis=0)
    judged = setup.task.of_logits(setup.task.targets(labels(setup.val).numpy(), 2), mean)
    np.testing.assert_allclose(judged.probabilities, expected, atol=1e-5)
    # It follows the weights: the temperature comes later.
    LastLayer(setup).divide_by(2.0)
    np.testing.assert_allclose(given(network, setup.val, mirror), given(averaged(setup.model), setup.val), atol=1e-5)
    assert np.abs(given(network, setup.val) - expected).max() > 1e-4


def test_labels_that_do_not_exclude_each_other_are_averaged_alike(tmp_path):
    setup = setup_of(make_splits(tmp_path, "multi_label"), training(), FLIPS, task="multi_label")
    plain, other = (given(setup.model, setup.val, change) for change in (lambda pictures: pictures, mirror))
    odds = np.sqrt(plain / (1 - plain) * other / (1 - other))
    np.testing.assert_allclose(given(averaged(setup.model), setup.val), odds / (1 + odds), atol=1e-5)


class TwoViews:
    """Stands in for a last layer."""

    def __init__(self, both):
        self.logits_of_both = lambda _: both


def by_turns(of_val, better):
    """Logits of pictures and mirror images: each is wrong by turns, or one is right and pulled down."""
    right = np.eye(2, dtype=np.float32)[of_val]
    # How sure a picture is of the true class, and its mirror image: a little right and far off, or the other way round.
    sure, unsure = (3.0, -1.0) if better else (1.0, -3.0)
    turn = (np.arange(9) % 2)[:, np.newaxis]
    return np.stack([right * np.where(turn, sure, unsure), right * np.where(turn, unsure, sure)]).astype(np.float32)


def settled(splits, wanted, better, augmentation=FLIPS):
    """What is settled where each image of a pair is wrong by turns, or where one is right and pulled down."""
    setup = setup_of(splits, training(test_time_augmentation=wanted), augmentation)
    of_val = labels(setup.val).numpy()
    both = by_turns(of_val, better)
    trained = Trained([], [], 1, HeldOut(of_val, both[0], "the validation split"))
    return with_averaging(setup, trained, TwoViews(both)), both[0], both.mean(axis=0)


@pytest.mark.parametrize("better", [True, False])
def test_measured_averages_where_the_loss_is_lower_and_flip_always(splits, better, heard):
    found, plain, mean = settled(splits, "measured", better)
    assert found.averages == better
    assert found.averaging.gain > 0, "the loss of mean logits is never above the mean of both losses"
    assert ("accuracy is lower" in found.averaging.reason) == (not better)
    # What is fitted on held-out logits is fitted on those of what is served.
    np.testing.assert_array_equal(found.held_out.logits, mean if better else plain)
    assert found.averaging.reason in [event.text for event in heard][-1]
    found, _, mean = settled(splits, "flip", better)
    assert found.averages
    np.testing.assert_array_equal(found.held_out.logits, mean)


@pytest.mark.parametrize("better", [True, False])
def test_parts_of_train_that_were_held_out_settle_it_with_validation(splits, better):
    setup = setup_of(splits, training(test_time_augmentation="measured"), FLIPS)
    of_val = labels(setup.val).numpy()
    right = np.eye(2, dtype=np.float32)[of_val]
    same, odd = np.stack([right, right]), by_turns(of_val, better)
    trained = Trained([], [], 1, HeldOut(of_val, same[0], "the validation split"))
    assert not with_averaging(setup, trained, TwoViews(same)).averages, "on validation nothing differs"
    found = with_averaging(setup, trained, TwoViews(same), [(of_val, odd)])
    assert found.averages == better
    if better:
        assert found.held_out.examples == "the validation split and 1 part of train that was held out"
        np.testing.assert_array_equal(found.held_out.logits, np.concatenate([right, odd.mean(axis=0)]))
        np.testing.assert_array_equal(found.held_out.labels, np.tile(of_val, 2))


def test_nothing_is_settled_where_it_is_off_or_mirror_images_have_other_labels(splits):
    assert settled(splits, "none", better=True)[0].averaging is None
    assert settled(splits, "measured", better=True, augmentation=AugmentationConfig(rotation=0.1))[0].averaging is None


@pytest.mark.parametrize("refit", [False, True])
def test_held_out_logits_are_those_of_what_is_served_after_the_last_fit_too(splits, tmp_path, refit):
    own = {"head": HeadConfig(start="fitted"), "phases": [], "calibration": "temperature", "refit": refit}
    config = training(test_time_augmentation="flip", **own)
    setup = setup_of(splits, config, FLIPS, folder=tmp_path / "kept")
    trained = recipe.train(setup, {"checkpoint_dir": str(tmp_path / "checkpoints")}, "key")
    assert trained.averages
    held_out = trained.held_out
    assert held_out.examples == ("held-out folds of train and val" if refit else "the validation split")
    if refit:
        expected = LastLayer(setup).fit(both(*splits)).mean_logits
    else:
        expected = LastLayer(setup).logits_of_both(setup.val).mean(axis=0)
        assert np.abs(expected - LastLayer(setup).logits(setup.val)).max() > 1e-4
    np.testing.assert_allclose(held_out.logits, expected, atol=1e-5)


def test_held_out_logits_of_a_fitted_head_are_the_mean_of_both_views(splits, tmp_path, monkeypatch):
    setup = setup_of(splits, training(head=HeadConfig(start="fitted"), phases=[]), FLIPS, folder=tmp_path)
    probe = LastLayer(setup).fit(setup.train)
    assert probe.logits.shape == probe.mean_logits.shape == (21, 2)
    assert np.abs(probe.logits - probe.mean_logits).max() > 1e-4
    found = HeldOut.of_probe(probe, setup.train, averaged=True)
    np.testing.assert_array_equal(found.logits, probe.mean_logits)
    # Too many examples for a second view: what was averaged on validation stays.
    monkeypatch.setattr(fitted_head, "MOST_MIRRORED", 3)
    assert HeldOut.of_probe(LastLayer(setup).fit(setup.train), setup.train, averaged=True) is None

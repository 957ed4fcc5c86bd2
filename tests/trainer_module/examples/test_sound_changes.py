"""Each random change of a sound alone does what its name says, and the same seed does the same."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.config import AugmentationConfig

tf = pytest.importorskip("tensorflow")

from trainer_module.examples.mixing import mix  # noqa: E402
from trainer_module.examples.sound_changes import MASKS, change_sound  # noqa: E402

SOUND = np.random.default_rng(0).uniform(0.5, 2.0, (60, 20)).astype(np.float32)


def changed(seed: int, sound: np.ndarray = SOUND, **section) -> np.ndarray:
    config = AugmentationConfig(**section)
    return change_sound(tf.constant(sound), tf.constant([1, seed], tf.int64), config).numpy()


def test_a_shift_moves_frames_by_up_to_its_share_and_loses_none():
    shifts = set()
    for seed in range(100):
        found = changed(seed, time_shift=0.25)
        (shift,) = [steps for steps in range(-30, 30) if np.array_equal(np.roll(SOUND, steps, axis=0), found)]
        shifts.add(shift)
    assert min(shifts) < -10
    assert max(shifts) > 10
    assert max(map(abs, shifts)) <= 15


def test_a_gain_is_one_factor_within_its_decibels():
    decibels = []
    for seed in range(100):
        factors = changed(seed, gain_db=6) / SOUND
        np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-5)
        decibels.append(20 * np.log10(factors[0, 0]))
    assert -6 <= min(decibels) < -5
    assert 5 < max(decibels) <= 6


def test_noise_adds_its_power_also_to_silence_and_stays_finite():
    loud = np.zeros((4000, 20), np.float32)
    loud[0] = 1.0
    levels = [changed(seed, loud, noise=0.5)[1:].mean() for seed in range(30)]
    assert all(np.isfinite(levels))
    assert 0 <= min(levels) < 0.1
    assert 0.4 < max(levels) <= 0.52
    assert (changed(3, noise=0.5) >= SOUND).all()
    assert not changed(3, np.zeros_like(SOUND), noise=0.5).any()


@pytest.mark.parametrize(("key", "axis"), [("time_mask", 0), ("band_mask", 1)])
def test_masks_silence_runs_of_frames_or_bands(key, axis):
    counts = []
    for seed in range(200):
        silent = changed(seed, **{key: 5}) == 0
        lines = silent.all(axis=1 - axis)
        assert np.array_equal(silent, np.broadcast_to(np.expand_dims(lines, 1 - axis), silent.shape))
        runs = np.count_nonzero(np.diff(np.concatenate([[False], lines, [False]]).astype(int)) == 1)
        assert runs <= MASKS
        counts.append(lines.sum())
    assert min(counts) == 0
    assert 8 <= max(counts) <= MASKS * 5


def test_a_mask_wider_than_the_sound_silences_no_more_than_there_is():
    assert changed(1, time_mask=1000).shape == SOUND.shape


@pytest.mark.parametrize(
    "section", [{"time_shift": 0.3}, {"gain_db": 9}, {"noise": 0.3}, {"time_mask": 9}, {"band_mask": 9}], ids=str
)
def test_the_same_seed_makes_the_same_change(section):
    assert np.array_equal(changed(7, **section), changed(7, **section))
    assert any(not np.array_equal(changed(7, **section), changed(seed, **section)) for seed in range(8, 20))


def test_mixup_blends_patches_and_keeps_those_that_either_has():
    patches = np.zeros((2, 3, 4, 5), np.float32)
    patches[0], patches[1, :1] = 1.0, 3.0
    mixed, labels = mix(
        tf.constant(patches), tf.constant([0, 1]), tf.constant([1, 2], tf.int64), AugmentationConfig(mixup=0.5)
    )
    share = float(labels.share[0])
    np.testing.assert_allclose(mixed[0, 0], share + 3 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(mixed[0, 2], share, rtol=1e-5)
    assert mixed.numpy()[1].any(axis=(1, 2)).all()

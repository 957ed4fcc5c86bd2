"""Random changes of examples: each does what its name says, held against Pillow or NumPy where they know it too."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from finetune.config import AugmentationConfig
from finetune.errors import BackboneError
from trainer_module.examples.augmentation import augment
from trainer_module.examples.mixing import MixedLabels, mix, of_labels
from trainer_module.examples.trivial_augment import CHANGES, ENHANCE, trivial_augment
from trainer_module.examples.word_dropout import without_some

SIZE = 32
SEEDS = [tf.constant([7, number], tf.int64) for number in range(60)]


@pytest.fixture(scope="module")
def photo():
    """A smooth picture, as photographs are: uint8 [32, 32, 3]."""
    random = np.random.default_rng(1).integers(30, 220, (5, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(random).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def changed(pixels, **keys):
    return [augment(tf.constant(pixels), seed, AugmentationConfig(**keys)).numpy() for seed in SEEDS]


def test_a_crop_keeps_its_share_of_the_area_within_the_picture_and_its_sides_within_three_to_four():
    down, across = np.mgrid[0:SIZE, 0:SIZE] * 4.0
    ramp = np.stack([across, down, across], axis=-1).astype(np.uint8)
    areas, ratios, left = [], [], []
    for crop in changed(ramp, random_resized_crop=0.5):
        width, height = (np.ptp(crop[SIZE // 2, :, 0]) / 4 + 1, np.ptp(crop[:, SIZE // 2, 1]) / 4 + 1)
        areas.append(width * height / SIZE**2)
        ratios.append(width / height)
        left.append(crop[0, 0, 0] / 4)
        assert 0 <= crop[..., :2].min() <= crop[..., :2].max() <= 4 * (SIZE - 1), "no border is mirrored into it"
    # The steps between 32 places give a pixel more or less.
    assert 0.46 < min(areas) < 0.6, min(areas)
    assert 0.9 < max(areas) <= 1.01, max(areas)
    assert 0.7 < min(ratios) < 0.85
    assert 1.15 < max(ratios) < 1.4
    assert max(left) - min(left) > 4, "it is cut out anywhere"


def test_saturation_moves_colours_away_from_grey_or_towards_it(photo):
    def colour(pixels):
        return np.abs(pixels - pixels.mean(axis=-1, keepdims=True)).mean()

    plain = colour(photo.astype(float))
    shares = [colour(image) / plain for image in changed(photo, saturation=0.3)]
    assert 0.69 < min(shares) < 0.8
    assert 1.2 < max(shares) < 1.31


def test_erasing_turns_a_rectangle_of_a_share_of_the_pictures_into_noise(photo):
    shares = []
    for image in changed(photo, random_erasing=0.5):
        erased = (np.abs(image - photo) > 1e-3).any(axis=-1)
        shares.append(erased.mean())
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        if erased.any():
            # Noise may hit the value that was there, of all three channels hardly ever.
            assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.98, "one full rectangle"
    assert 15 < sum(share > 0 for share in shares) < 45
    assert 0.25 < max(shares) <= 0.37
    assert sum(0 < share < 0.1 for share in shares) >= 2


PILLOW = {
    "identity": lambda image, strength: image,
    "brightness": lambda image, strength: ImageEnhance.Brightness(image).enhance(1 + ENHANCE * strength),
    "colour": lambda image, strength: ImageEnhance.Color(image).enhance(1 + ENHANCE * strength),
    "contrast": lambda image, strength: ImageEnhance.Contrast(image).enhance(1 + ENHANCE * strength),
    "sharpness": lambda image, strength: ImageEnhance.Sharpness(image).enhance(1 + ENHANCE * strength),
    "posterize": lambda image, strength: ImageOps.posterize(image, 8 - round(abs(strength) * 6)),
    "solarize": lambda image, strength: ImageOps.solarize(image, 255 * (1 - abs(strength))),
    "autocontrast": lambda image, strength: ImageOps.autocontrast(image),
    "equalize": lambda image, strength: ImageOps.equalize(image),
}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("strength", [-0.9, 0.35])
def test_changes_of_colour_are_those_of_pillow(photo, name, strength):
    own = np.clip(CHANGES[name](tf.constant(photo, tf.float32), tf.constant(strength)).numpy(), 0, 255)
    other = np.asarray(PILLOW[name](Image.fromarray(photo), strength)).astype(float)
    inner = (slice(1, -1), slice(1, -1))  # Pillow leaves borders unsharpened.
    # Pillow rounds down to whole numbers, once or twice.
    np.testing.assert_allclose(own[inner], other[inner], atol=2.0)


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "shift_x", "shift_y", "turn"])
def test_moves_leave_the_centre_where_it_is_or_shift_it_as_far_as_they_say(name):
    down, across = np.mgrid[0:SIZE, 0:SIZE] * 4.0
    ramp = tf.constant(np.stack([across, down, across], axis=-1), tf.float32)
    strength = 0.25
    x, y, _ = CHANGES[name](ramp, tf.constant(strength)).numpy()[15:17, 15:17].mean(axis=(0, 1)) / 4
    shift = SIZE * 32 / 224 * strength
    expected = (15.5 + shift * (name == "shift_x"), 15.5 + shift * (name == "shift_y"))
    np.testing.assert_allclose((x, y), expected, atol=1e-3)
    moved = CHANGES[name](ramp, tf.constant(strength)).numpy()[14:18, 14:18] / 4
    step_right = moved[0, 1, :2] - moved[0, 0, :2]
    angle = math.radians(135 * strength)
    steps = {"shear_y": (1, 0.99 * strength), "turn": (math.cos(angle), math.sin(angle))}
    np.testing.assert_allclose(step_right, steps.get(name, (1, 0)), atol=1e-3)


def test_each_change_of_trivial_augment_comes_up_and_stays_in_range(photo):
    image = tf.constant(photo, tf.float32)
    seen = set()
    for number, name in enumerate(CHANGES):
        place = 2 * (number + 0.5) / len(CHANGES) - 1
        for strength in (-1.0, 0.999):
            said = trivial_augment(image, tf.constant([place, strength]))
            np.testing.assert_array_equal(said, tf.clip_by_value(CHANGES[name](image, tf.constant(strength)), 0, 255))
            seen.add(said.numpy().tobytes())
    assert len(seen) == 2 * len(CHANGES) - 5, (
        "identity, autocontrast, equalize, posterize, solarize are the same for both"
    )


@pytest.fixture(scope="module")
def batch():
    """Four pictures of one value each, and their labels."""
    pixels = tf.constant(np.arange(4).reshape(4, 1, 1, 1) * np.ones((4, SIZE, SIZE, 3)), tf.float32)
    return pixels, tf.constant([0, 1, 2, 3], tf.int64)


def test_mixup_blends_each_with_the_next_in_one_share(batch):
    shares = []
    for seed in SEEDS:
        mixed, labels = mix(*batch, seed, AugmentationConfig(mixup=0.4))
        share = labels.share.numpy()[0]
        np.testing.assert_array_equal(labels.others, [1, 2, 3, 0])
        expected = share * np.arange(4) + (1 - share) * np.array([1, 2, 3, 0])
        np.testing.assert_allclose(mixed.numpy(), expected.reshape(4, 1, 1, 1) * np.ones((4, SIZE, SIZE, 3)), atol=1e-5)
        shares.append(share)
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.15)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), abs=0.05)


def test_cutmix_pastes_one_rectangle_and_counts_what_is_left(batch):
    shares = []
    for seed in SEEDS:
        mixed, labels = mix(*batch, seed, AugmentationConfig(cutmix=1.0))
        own = (mixed.numpy()[0] == 0).all(axis=-1)
        assert labels.share.numpy()[0] == pytest.approx(own.mean(), abs=1e-6)
        shares.append(own.mean())
        if not own.all():
            rows, columns = np.flatnonzero((~own).any(axis=1)), np.flatnonzero((~own).any(axis=0))
            assert not own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any()
    # A rectangle at the border is cut off, so that little is pasted there.
    assert min(shares) < 0.35
    assert max(shares) > 0.9


def test_the_loss_of_a_pair_is_that_of_the_blended_label():
    said = np.random.default_rng(1).dirichlet(np.ones(3), 4).astype(np.float32)
    labels, others, share = np.array([0, 1, 2, 0]), np.array([1, 1, 0, 2]), np.float32([0.3, 0.5, 1.0, 0.0])

    def loss(labels, said):
        return -tf.math.log(tf.gather(said, labels, batch_dims=1))

    mixed = of_labels(loss, MixedLabels(tf.constant(labels), tf.constant(others), tf.constant(share)), said)
    blended = share[:, None] * np.eye(3)[labels] + (1 - share)[:, None] * np.eye(3)[others]
    np.testing.assert_allclose(mixed, -(blended * np.log(said)).sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(of_labels(loss, tf.constant(labels), said), loss(tf.constant(labels), said))


def test_words_are_left_out_in_their_share_but_never_all():
    ids = tf.constant([*range(1, 21), 0, 0], tf.int64)
    left = np.array([without_some(ids, seed, 0.3).numpy() for seed in SEEDS])
    assert set(np.unique(left[:, -2:])) == {0}
    assert (left[:, :20] == 0).mean() == pytest.approx(0.3, abs=0.05)
    assert ((left[:, :20] == 0) | (left[:, :20] == np.arange(1, 21))).all()
    text = tf.constant(" ".join(map(str, range(20))))
    words = [without_some(text, seed, 0.3).numpy().decode().split() for seed in SEEDS]
    assert np.mean([len(each) for each in words]) == pytest.approx(14, abs=1)
    assert all(each == sorted(each, key=int) for each in words)
    for short in (tf.constant([5, 0], tf.int64), tf.constant("one")):
        assert all(np.array_equal(without_some(short, seed, 0.9), short) for seed in SEEDS)
    assert without_some(tf.constant(""), SEEDS[0], 0.9).numpy() == b""
    with pytest.raises(BackboneError, match="of which no words can be left out"):
        without_some({"ids": ids}, SEEDS[0], 0.3)


def test_pairs_and_a_fixed_number_of_views_do_not_go_together():
    with pytest.raises(ValueError, match="leave `views` at `fresh`"):
        AugmentationConfig(mixup=0.2, views=2)

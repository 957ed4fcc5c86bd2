"""Whether mirror images stand for pictures is measured where the config does not say it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from small_training import INPUTS, LABELS, SIZE, setup_of, write

from finetune.config import AugmentationConfig, TrainingConfig
from trainer_module.examples.input_data import load_split
from trainer_module.fitted_head import LastLayer
from trainer_module.search.first_fit import REPEATS, first_fit

pytestmark = pytest.mark.by_test_current

AUTO = TrainingConfig(strategy="auto", batch_size=8)


def split_of(folder, count, rises):
    """Pictures whose class is how bright they are, or where `rises`, on which side they are brighter."""
    random, records = np.random.default_rng(count), []
    slope = np.linspace(0, 160, SIZE)[np.newaxis, :, np.newaxis]
    for number in range(count):
        label = number % 2
        shape = (slope[:, ::-1] if label else slope) if rises else 100.0 * label
        pixels = (random.uniform(0, 60, (SIZE, SIZE, 3)) + shape).astype(np.uint8)
        values = {"pixels": tf.io.serialize_tensor(tf.constant(pixels)).numpy(), "key": f"{number:04}".encode()}
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()
        }
        feature["label_index"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
        records.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return load_split([write(folder / f"{count}-{rises}.gz", records)], INPUTS, LABELS)


@pytest.mark.parametrize("rises", [False, True])
def test_mirror_images_stand_for_pictures_unless_they_do_harm(tmp_path, rises, heard, monkeypatch):
    seeds, probe_of = [], LastLayer.probe_of
    monkeypatch.setattr(
        LastLayer, "probe_of", lambda self, split, seed: seeds.append(seed) or probe_of(self, split, seed)
    )
    splits = [split_of(tmp_path, count, rises) for count in (60, 20)]
    setup = setup_of(splits, AUTO, AugmentationConfig(), folder=tmp_path / "kept")
    found, last_layer, probe = first_fit(setup)
    assert found.flips != rises
    told = [event.text for event in heard if "mirror images" in getattr(event, "text", "")]
    assert len(told) == 1
    assert ("do not stand" in told[0]) == rises
    own = setup.training.seed
    assert sorted(seeds) == sorted(2 * [own + number for number in range(REPEATS)]), "each is shuffled anew"
    kernel, offset = setup.model.layers[-1].get_weights()
    np.testing.assert_array_equal(kernel, probe.kernel)
    np.testing.assert_array_equal(offset, probe.offset)
    # A kill in between changes nothing: the same is found again.
    assert first_fit(setup)[0].augmentation == found.augmentation
    assert last_layer.logits(found.train).shape == (60, 2)


@pytest.mark.parametrize("said", [False, True])
def test_what_the_config_says_is_not_measured(tmp_path, said, heard):
    splits = [split_of(tmp_path, count, True) for count in (60, 20)]
    setup = setup_of(splits, AUTO, AugmentationConfig(horizontal_flip=said), folder=tmp_path / "kept")
    assert first_fit(setup)[0].flips == said
    assert not [event for event in heard if "mirror images" in getattr(event, "text", "")]

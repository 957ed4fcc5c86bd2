"""What joins a picture and its words: a stand-in for what is missing, and sides left out in training."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.config import BackboneConfig, TrainingConfig
from finetune.errors import BackboneError

tf = pytest.importorskip("tensorflow")

from trainer_module.backbones.model import build_network  # noqa: E402
from trainer_module.frozen_features.network import Network  # noqa: E402
from trainer_module.frozen_features.planner import Planner  # noqa: E402
from trainer_module.fusion import LeaveOutSides  # noqa: E402

PHASES = [
    {"name": "head", "epochs": 5, "learning_rate": 0.01},
    {"name": "picture", "epochs": 5, "learning_rate": 0.01, "unfreeze": {"image": {"last_blocks": 1}}},
    {"name": "words", "epochs": 5, "learning_rate": 0.01, "unfreeze": {"text": "all"}},
]


def network(folder, fusion, image_size=16):
    (folder / "words.txt").write_text("left 1 0.5\nright 0 -1\nflower 2 2\n")
    image = {"name": "SmallCNN", "weights": "random", "image_size": image_size}
    text = {"name": "GloVe", "weights": str(folder / "words.txt"), "text": {"max_words": 4}}
    config = BackboneConfig.model_validate({"sides": {"image": image, "text": text}})
    training = TrainingConfig.model_validate({"fusion": fusion, "frozen_features": "on", "phases": PHASES})
    return training, *build_network(config, training, classes=3)


def batch(there):
    draw = np.random.default_rng(0)
    pictures = draw.uniform(0, 255, (len(there), 16, 16, 3)).astype(np.float32)
    words = draw.integers(1, 4, (len(there), 4))
    return {"image": tf.constant(pictures), "text": tf.constant(words), "there": tf.constant(there, tf.int64)}


@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_what_is_missing_has_no_say(fusion, tmp_path):
    _, _, model = network(tmp_path, fusion)
    given = batch([[1, 1], [1, 0], [0, 1]])
    other = {**given, "image": 255 - given["image"]}
    differ = np.abs(model(given).numpy() - model(other).numpy()).max(axis=1) > 1e-6
    assert differ.tolist() == [True, True, False]
    other = {**given, "text": 4 - given["text"]}
    differ = np.abs(model(given).numpy() - model(other).numpy()).max(axis=1) > 1e-6
    assert differ.tolist() == [True, False, True]


@pytest.mark.parametrize("fusion", ["concat", "cross_attention", "contrastive"])
def test_every_phase_goes_on_from_what_is_kept_of_both_sides(fusion, tmp_path):
    from finetune.config import AugmentationConfig
    from trainer_module.frozen_features.plan import RATES

    training, backbone, model = network(tmp_path, fusion)
    given = batch([[1, 1], [1, 0], [0, 1]])
    found = Network(model, backbone)
    planner = Planner(training, AugmentationConfig(), found.graph, 100, 20, RATES["cpu"])
    cuts = [cut for cut in planner.cuts if cut]
    assert len(cuts) == len(PHASES)
    assert len({cut.name for cut in cuts}) == len(PHASES)
    for cut, kept in zip(cuts, found.frozen_part(cuts)(given), strict=True):
        assert kept.shape == (3, *cut.shape)
        np.testing.assert_array_equal(found.tail(cut)(kept, training=False), model(given, training=False))


def test_the_stand_in_learns_from_examples_without_the_side(tmp_path):
    _, _, model = network(tmp_path, "cross_attention")
    layer = model.get_layer("image_or_stand_in")
    for there, learns in (([[1, 1], [1, 1]], False), ([[0, 1], [1, 1]], True)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(batch(there))[:, 0])
        gradient = tape.gradient(loss, layer.trainable_variables)[0]
        assert bool(np.abs(gradient.numpy()).max() > 0) == learns


def test_sides_are_left_out_in_training_at_the_rate_and_never_both():
    there = tf.ones([2000, 2], tf.int64)
    layer = LeaveOutSides(0.3, seed=1)
    assert np.array_equal(layer(there), there)
    left = np.array(layer(there, training=True))
    assert left.any(axis=1).all()
    assert np.abs((left == 0).mean(axis=0) - 0.15).max() < 0.03
    assert not np.array_equal(left, layer(there, training=True))
    alone = tf.constant([[1, 0]] * 500, tf.int64)
    assert np.array_equal(layer(alone, training=True), alone)


def test_words_cannot_look_at_a_vector(tmp_path):
    keras = pytest.importorskip("tf_keras")
    pixels = keras.Input((16, 16, 3), name="image")
    vector = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(4, 3, name="conv")(pixels))
    keras.Model(pixels, vector).save(tmp_path / "vector.keras")
    (tmp_path / "words.txt").write_text("left 1 0.5\nright 0 -1\n")
    image = {"file": str(tmp_path / "vector.keras"), "scaling": "none", "image_size": 16}
    text = {"name": "GloVe", "weights": str(tmp_path / "words.txt"), "text": {"max_words": 4}}
    config = BackboneConfig.model_validate({"sides": {"image": image, "text": text}})
    with pytest.raises(BackboneError, match="Expected `concat`"):
        build_network(config, TrainingConfig.model_validate({"fusion": "cross_attention"}), classes=3)


def test_words_cannot_look_around_in_a_map_of_one_place(tmp_path):
    network(tmp_path, "concat", image_size=8)
    with pytest.raises(BackboneError, match=r"SmallCNN gives a vector \[None, 1, 1, \d+\], and words look at places"):
        network(tmp_path, "cross_attention", image_size=8)

"""A training on pictures with words that is killed goes on, from what is kept of both sides, to the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune.config import AugmentationConfig, BackboneConfig, CheckpointConfig, TrainingConfig

tf = pytest.importorskip("tensorflow")

from small_training import LABELS, setup_of, weights_after, write  # noqa: E402

from trainer_module.examples.input_data import Split, load_split  # noqa: E402
from transforms.inputs import ImageInputs, SideInputs, TensorInputs  # noqa: E402

pytestmark = pytest.mark.by_test_current

SIZE, WORDS = 16, 4
INPUTS = SideInputs(
    ImageInputs(SIZE),
    TensorInputs({"word_ids": tf.io.FixedLenFeature([WORDS], tf.int64)}, "text", "text"),
    {"there": tf.io.FixedLenFeature([2], tf.int64)},
)
TRAINING = {
    "batch_size": 8,
    "head": {"units": [8], "dropout": 0.3},
    "frozen_features": "on",
    "checkpoint": CheckpointConfig(every_steps=2),
    "phases": [
        {"name": "head", "epochs": 2, "learning_rate": 1e-2},
        {"name": "picture", "unfreeze": {"image": {"last_blocks": 1}}, "epochs": 2, "learning_rate": 1e-3},
        {"name": "both", "unfreeze": "all", "epochs": 1, "learning_rate": 1e-3},
    ],
}


def split(file: Path, count: int) -> Split:
    """Some examples lack the picture and some the words, in turn."""
    random = np.random.default_rng(count)
    records = []
    for number in range(count):
        pixels = random.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        there = [(1, 1), (0, 1), (1, 1), (1, 0)][number % 4]
        feature = tf.train.Example().features.feature
        feature["pixels"].bytes_list.value.append(tf.io.serialize_tensor(pixels).numpy())
        feature["word_ids"].int64_list.value.extend(random.integers(1, 4, WORDS).tolist())
        feature["there"].int64_list.value.extend(there)
        feature["label_index"].int64_list.value.append(number % 2)
        feature["key"].bytes_list.value.append(f"{number:04}".encode())
        records.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return load_split([write(file, records)], INPUTS, LABELS)


@pytest.mark.parametrize(
    "fusion",
    [{"name": "concat", "missing": 0.5}, {"name": "cross_attention", "width": 8}, {"name": "contrastive"}],
    ids=lambda fusion: fusion["name"],
)
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, fusion):
    (tmp_path / "words.txt").write_text("left 1 0.5\nright 0 -1\nflower 2 2\n")
    image = {"name": "SmallCNN", "weights": "random", "image_size": SIZE}
    text = {"name": "GloVe", "weights": str(tmp_path / "words.txt"), "text": {"max_words": WORDS}}
    network = BackboneConfig.model_validate({"sides": {"image": image, "text": text}})
    # Which side is left out is drawn anew for each example and step, so that it has to go on where it was.
    config = TrainingConfig.model_validate({**TRAINING, "fusion": fusion})
    splits = [split(tmp_path / f"{name}.gz", count) for name, count in (("train", 20), ("val", 8))]

    def trained(name: str, kills: tuple[int, ...] = ()) -> list[bytes]:
        return weights_after(
            lambda: setup_of(splits, config, AugmentationConfig(), folder=tmp_path / f"kept_{name}", network=network),
            tmp_path / name,
            kills,
        )

    assert trained("killed", kills=(1, 3, 4)) == trained("whole")

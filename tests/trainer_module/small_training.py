"""Training on a handful of pictures, for tests: splits, a config, and a run of all phases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from finetune.config import AugmentationConfig, BackboneConfig, HeadConfig, PhaseConfig, TrainingConfig
from trainer_module import recipe
from trainer_module.backbones import model as backbone_model
from trainer_module.examples import input_data
from trainer_module.frozen_features.features import FrozenFeatures
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.phase import run_phase
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import State
from trainer_module.tasks import TASKS
from transforms.inputs import ImageInputs
from transforms.tasks import TASKS as TRANSFORM_TASKS
from transforms.tasks import Labels

SIZE = 8
INPUTS = ImageInputs(SIZE)
LABELS = Labels(TRANSFORM_TASKS["single_label"], 2)
STRONG = AugmentationConfig(horizontal_flip=True, rotation=0.1, zoom=0.2, shift=0.1, brightness=0.2, contrast=0.2)


def transformed(count: int, seed: int = 0) -> list[bytes]:
    """Serialised transformed examples: class 1 is brighter than class 0."""
    random = np.random.default_rng(seed)
    records = []
    for number in range(count):
        label = number % 2
        pixels = random.integers(0, 100, (SIZE, SIZE, 3)).astype(np.uint8) + np.uint8(100 * label)
        feature = {
            "pixels": tf.train.Feature(
                bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(tf.constant(pixels)).numpy()])
            ),
            "label_index": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[f"{number:04}".encode()])),
        }
        records.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return records


def write(path, records) -> str:
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def make_splits(folder: Path, task="single_label") -> list[input_data.Split]:
    """Writes and loads 21 training and 9 validation examples."""
    of_labels = Labels(TRANSFORM_TASKS[task], 2)
    files = [write(folder / f"{name}.gz", transformed(count, count)) for name, count in (("train", 21), ("val", 9))]
    return [input_data.load_split([file], INPUTS, of_labels) for file in files]


def training(**changes) -> TrainingConfig:
    defaults = {
        "batch_size": 8,
        "frozen_features": {"cache": "off"},
        "head": HeadConfig(units=[16], dropout=0.3),
        "phases": [
            PhaseConfig(name="head", epochs=2, learning_rate=1e-2),
            PhaseConfig(name="tune", unfreeze={"last_layers": 5}, epochs=2, learning_rate=1e-3),
        ],
    }
    return TrainingConfig(**{**defaults, **changes})


SMALL = BackboneConfig(name="SmallCNN", weights="random", image_size=SIZE)


def setup_of(
    splits,
    config: TrainingConfig,
    augmentation=STRONG,
    strategy=None,
    folder="unused",
    network=SMALL,
    task="single_label",
) -> Setup:
    """A new network, and all that training it needs."""
    recipe.make_deterministic(config.seed)
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        backbone, model = backbone_model.build_network(network, config, 2, TASKS[task].head())
    frozen_features = FrozenFeatures(folder, model, backbone, config, augmentation, *splits, "Trainer")
    counted = TASKS[task], ["dark", "bright"], None
    return Setup(
        model, backbone, config, *counted, *splits, augmentation, strategy, "Trainer", frozen_features, "image"
    )


def fit(
    splits,
    config: TrainingConfig,
    augmentation=STRONG,
    after_phase=None,
    strategy=None,
    folder="unused",
    network=SMALL,
):
    """Trains all phases; returns the model, its backbone, the rows and the curves."""
    setup = setup_of(splits, config, augmentation, strategy, folder, network)
    progress = State()
    for index in range(len(config.phases)):
        before = {layer.name: layer.get_weights() for layer in setup.backbone.layers}
        run_phase(setup, progress, keep=lambda progress: None)
        if after_phase:
            after_phase(index, setup.backbone, before)
    return setup.model, setup.backbone, progress.rows, progress.curves


class KilledError(Exception):
    """Stands in for a kill."""


class Dying(Checkpoints):
    """Checkpoints that end the run right after so many are saved, counted anew in each life."""

    def __init__(self, folder: Path, config: TrainingConfig, lives: list[int]):
        super().__init__(str(folder), "key", config.checkpoint, "Trainer")
        self._lives = lives

    def save(self, state: State) -> None:
        super().save(state)
        self._lives[:1] = [self._lives[0] - 1] if self._lives else []
        if self._lives and self._lives[0] == 0:
            raise KilledError


def weights_after(make_setup: Callable[[], Setup], folder: Path, kills: tuple[int, ...] = ()) -> list[bytes]:
    """The weights after all phases, in as many lives as it takes: each ends right after so many checkpoints."""
    lives = list(kills)
    while True:
        setup = make_setup()
        try:
            run_phases(setup, Dying(folder, setup.training, lives))
        except KilledError:
            lives.pop(0)
            continue
        assert not lives, "it was meant to be killed more often"
        return [value.tobytes() for value in setup.model.get_weights()]

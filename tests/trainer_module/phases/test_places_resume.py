"""A training on boxes or masks that is killed goes on to the same weights; both move with cropped pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finetune.config import AugmentationConfig, BackboneConfig, CheckpointConfig, TrainingConfig

tf = pytest.importorskip("tensorflow")

from small_training import setup_of, weights_after, write  # noqa: E402

from trainer_module.examples.input_data import Split, load_split  # noqa: E402
from transforms.inputs import ImageInputs  # noqa: E402
from transforms.masks import VOID  # noqa: E402
from transforms.records import serialise  # noqa: E402
from transforms.tasks import TASKS as TRANSFORM_TASKS  # noqa: E402
from transforms.tasks import Labels  # noqa: E402

SIZE = 64
NETWORK = BackboneConfig(name="MobileNetV2", weights="random", image_size=SIZE, arguments={"alpha": 0.35})
AUGMENTATION = AugmentationConfig(horizontal_flip=True, random_resized_crop=0.5)
TRAINING = {
    "batch_size": 4,
    "checkpoint": CheckpointConfig(every_steps=1),
    "phases": [
        {"name": "head", "epochs": 1, "learning_rate": 1e-3},
        {"name": "all", "unfreeze": "all", "epochs": 1, "learning_rate": 1e-3},
    ],
}


def split(file: Path, count: int, task: str) -> Split:
    """Pictures of noise with none, one or two objects, and a mask of two classes with some void pixels."""
    random = np.random.default_rng(count)
    records = []
    for number in range(count):
        rows = [[0.1, 0.2, 0.5, 0.6, 0, 0], [0.4, 0.3, 0.9, 0.9, 1, 0]][: number % 3]
        pixels = random.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[: SIZE // 2], mask[:, :4] = 1, VOID
        example = {
            "pixels": tf.io.serialize_tensor(pixels).numpy(),
            "boxes": np.array(rows, np.float32),
            "mask": tf.io.serialize_tensor(mask).numpy(),
        }
        records.append(serialise({**example, "label_index": np.array([0, 1]), "key": f"{number:04}".encode()}))
    return load_split([write(file, records)], ImageInputs(SIZE), Labels(TRANSFORM_TASKS[task], 2))


@pytest.mark.long
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, task):
    config = TrainingConfig.model_validate(TRAINING)
    splits = [split(tmp_path / f"{name}.gz", count, task) for name, count in (("train", 12), ("val", 4))]

    def trained(name: str, kills: tuple[int, ...] = ()) -> list[bytes]:
        return weights_after(
            lambda: setup_of(splits, config, AUGMENTATION, folder=tmp_path / name, network=NETWORK, task=task),
            tmp_path / name,
            kills,
        )

    assert trained("killed", kills=(3, 4)) == trained("whole")

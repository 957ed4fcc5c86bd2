"""MobileNetV2 with its real weights on real pictures: cached training is training, phase by phase."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from small_training import write

from finetune.config import AugmentationConfig, BackboneConfig, PhaseConfig, TrainingConfig
from trainer_module.tasks import TASKS
from transforms.tasks import TASKS as TRANSFORM_TASKS
from transforms.tasks import Labels

tf = pytest.importorskip("tensorflow")
backbone_model = importlib.import_module("trainer_module.backbones.model")
checkpoint = importlib.import_module("trainer_module.phases.checkpoint")
image = importlib.import_module("transforms.image")
input_data = importlib.import_module("trainer_module.examples.input_data")
inputs = importlib.import_module("transforms.inputs")
phases = importlib.import_module("trainer_module.phases.run")
recipe = importlib.import_module("trainer_module.recipe")
features = importlib.import_module("trainer_module.frozen_features.features")
setup = importlib.import_module("trainer_module.phases.setup")

SIZE = 224
PHASES = [
    PhaseConfig(name="head", epochs=3, learning_rate=1e-3, early_stopping=None),
    PhaseConfig(name="tune", unfreeze={"last_layers": 10}, epochs=3, learning_rate=1e-5, early_stopping=None),
    PhaseConfig(name="blocks", unfreeze={"last_blocks": 3}, epochs=2, learning_rate=1e-5, early_stopping=None),
]


def examples(folder, split, each):
    """Serialised transformed examples of the first pictures of each class."""
    records = []
    for label, name in enumerate(sorted(path.name for path in (folder / split).iterdir())):
        for path in sorted((folder / split / name).glob("*.jpg"))[:each]:
            pixels = image.decode_and_resize(tf.constant([path.read_bytes()]), SIZE)[0].numpy()
            feature = {
                "pixels": tf.train.Feature(bytes_list=tf.train.BytesList(value=[pixels])),
                "label_index": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(path).encode()])),
            }
            records.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return records


@pytest.mark.long
def test_the_curves_of_mobilenet_agree_to_a_ten_thousandth(real_data, tmp_path):
    folder = real_data / "images" / "flower_photos"
    splits = [
        input_data.load_split(
            [write(tmp_path / f"{name}.gz", examples(folder, name, each))],
            inputs.ImageInputs(SIZE),
            Labels(TRANSFORM_TASKS["single_label"], 5),
        )
        for name, each in (("train", 20), ("val", 8))
    ]
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    backbone_config = BackboneConfig(name="MobileNetV2", weights=str(weights), arguments={"alpha": 0.35})
    plain, curves, rows = AugmentationConfig(), {}, {}
    for mode in ("off", "auto"):
        training = TrainingConfig(frozen_features=mode, phases=PHASES)
        recipe.make_deterministic(1)
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
        with strategy.scope():
            backbone, model = backbone_model.build_network(backbone_config, training, classes=5)
        kept = features.FrozenFeatures(str(tmp_path / "kept"), model, backbone, training, plain, *splits, "Trainer")
        counted = TASKS["single_label"], list("abcde"), None
        given = setup.Setup(model, backbone, training, *counted, *splits, plain, strategy, "Trainer", kept, "image")
        checkpoints = checkpoint.Checkpoints(str(tmp_path / mode), mode, training.checkpoint, "Trainer")
        state = phases.run_phases(given, checkpoints)
        curves[mode], rows[mode] = state.curves, state.rows
    assert [row["frozen_features"]["cut"] for row in rows["auto"]] == [
        "head_pool",
        "block_16_expand_relu",
        "block_13_project_BN",
    ]
    assert all(row["cached_trunk"] for row in rows["auto"])
    for off, auto in zip(curves["off"], curves["auto"], strict=True):
        for name in ("loss", "val_loss"):
            error = abs(off[name] - auto[name]) / off[name]
            print(f"{off['phase']} {off['epoch']} {name} {off[name]:.6f} relative difference {error:.1e}")
            np.testing.assert_allclose(auto[name], off[name], rtol=1e-4, err_msg=f"{off['phase']} {off['epoch']}")

"""A feature vector of real weights, fine-tuned through TF Hub's interface: as good as the same network from Keras."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
keras = pytest.importorskip("tf_keras")

from saved_models import save_for_hub  # noqa: E402

ROOT = Path(__file__).parents[3]
SIZE = 256
# Names of variables, which both ways know; the layers of a handle cannot be counted.
PHASES = (
    "[{name: head, epochs: 30, learning_rate: 3.0e-3, early_stopping: {patience: 8}}, "
    "{name: fine_tune, unfreeze: {variables: '^(block_16_|Conv_1)'}, epochs: 10, learning_rate: 1.0e-5}]"
)


def feature_vector(weights: Path) -> keras.Model:
    """MobileNetV2 as TF Hub offers it: pictures in [0, 1] in, the mean of each channel out."""
    pixels = keras.Input((SIZE, SIZE, 3), name="inputs")
    network = keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=str(weights))
    scaled = keras.layers.Rescaling(2.0, offset=-1.0)(pixels)
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(network(scaled)))


def summary_of(folder: Path, real_data: Path, *backbone: str) -> dict:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("finetune")),
            "run",
            "configs/flowers.yaml",
            f"data.root={real_data / 'images' / 'flower_photos'}",
            f"training.phases={PHASES}",
            f"output_dir={folder}",
            "evaluation.gates=[{metric: accuracy, min: 0.8}]",
            *backbone,
            "--summary",
            str(folder.with_suffix(".json")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(folder.with_suffix(".json").read_text())


def test_fine_tuning_through_hub_is_within_a_point_of_keras_applications(real_data, tmp_path):
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    handle = save_for_hub(feature_vector(weights), tmp_path / "vector")
    from_keras = summary_of(tmp_path / "keras", real_data, f"backbone.weights={weights}")
    through_hub = summary_of(tmp_path / "hub", real_data, f"backbone={{handle: {handle}, image_size: {SIZE}}}")
    accuracies = [summary["metrics"]["accuracy"] for summary in (from_keras, through_hub)]
    print(f"accuracy from Keras applications and through hub: {accuracies}")
    assert through_hub["backbone"]["source"] == str(handle)
    assert len(through_hub["backbone"]["sha256"]) == 64
    trained = [summary["phases"][1]["trainable_parameters"] for summary in (from_keras, through_hub)]
    assert trained[0] == trained[1]
    assert abs(accuracies[0] - accuracies[1]) <= 0.01

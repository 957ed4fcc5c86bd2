"""A model that averages each picture with its mirror image: judged, served, timed and written down as one that does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from registry.versions import FACTS_FILE

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


@pytest.fixture(scope="module")
def averaged_run(runner, raw_config, tmp_path_factory) -> dict:
    raw = {
        **raw_config,
        "name": "averaged",
        "output_dir": str(tmp_path_factory.mktemp("averaged")),
        "augmentation": {"horizontal_flip": True},
        "training": {
            **raw_config["training"],
            "batch_norm": "frozen",
            "test_time_augmentation": "flip",
            "calibration": "temperature",
            "refit": True,
        },
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.1}, {"metric": "latency_p50_ms_batch1", "max": 1e6}]},
    }
    return runner.run(raw=raw)


def test_it_is_pushed_as_its_memory_has_it_and_a_mirror_image_gets_the_same_answer(averaged_run, images, tmp_path):
    import tensorflow as tf

    assert averaged_run["status"] == "pushed", (
        "parity holds: the ServingGate has compared it with the network in memory"
    )
    assert averaged_run["averaging"]["applied"]
    assert averaged_run["averaging"]["asked_for"]
    serve = tf.saved_model.load(averaged_run["pushed_model"]).signatures["serving_default"]
    answers = []
    for path in sorted((images / "test").rglob("*.png")):
        other = tmp_path / path.name
        ImageOps.mirror(Image.open(path)).save(other)
        answers.append(serve(tf.constant([path.read_bytes(), other.read_bytes()]))["probabilities"].numpy())
    plain, mirrored = np.stack(answers, axis=1)
    np.testing.assert_allclose(plain, mirrored, atol=1e-4)
    assert len(np.unique(plain.round(5), axis=0)) > 10, "pictures were meant to differ in what they give"


def test_the_metrics_are_those_of_what_is_served(averaged_run, images):
    import tensorflow as tf

    serve = tf.saved_model.load(averaged_run["pushed_model"]).signatures["serving_default"]
    paths = sorted((images / "test").rglob("*.png"))
    said = serve(tf.constant([path.read_bytes() for path in paths]))["label"].numpy()
    right = [label.decode() == path.parent.name for label, path in zip(said, paths, strict=True)]
    assert averaged_run["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    assert averaged_run["serving"]["metrics"]["latency_p50_ms_batch1"] > 0


def test_it_is_written_beside_the_model_and_in_the_report(averaged_run):
    facts = json.loads(Path(averaged_run["pushed_model"], FACTS_FILE).read_text())
    assert facts["test_time_augmentation"] == "flip"
    page = " ".join(Path(averaged_run["report"]).read_text().split())
    assert "averages the logits of a picture and of its mirror image, so that every prediction takes it twice" in page

"""The main job for texts in small: tables in, words to ids, vectors tuned, gated, pushed, served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from text_data import ODD, TOPICS, write_texts, write_word_table

from finetune.config import Config
from pipeline.plan import node_ids

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


@pytest.fixture(scope="module")
def text_run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("texts")
    raw = {
        "name": "topics",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(write_texts(folder / "topics.tsv", 90)),
            "layout": "table",
            "slice_columns": ["length"],
        },
        "backbone": {
            "name": "GloVe",
            "weights": str(write_word_table(folder / "words.json")),
            "text": {"max_words": 12, "unknown_words": 3},
        },
        "training": {
            "batch_size": 16,
            "head": {"units": [], "dropout": 0.0},
            "phases": [
                {"name": "head", "epochs": 4, "learning_rate": 1e-2},
                {"name": "tune", "unfreeze": "all", "epochs": 2, "learning_rate": 1e-2},
            ],
        },
        "evaluation": {
            "gates": [
                {"metric": "accuracy", "min": 0.6},
                {"metric": "loss", "max": 100, "slice": {"length": "short"}},
            ]
        },
    }
    return {**runner.run(raw=raw), "_raw": raw}


def artifacts(summary: dict, node: str, output: str) -> Path:
    (folder,) = (Path(summary["output_dir"]) / "artifacts" / node / output).iterdir()
    return folder


def test_texts_become_a_pushed_model(text_run):
    assert text_run["error"] is None
    assert text_run["status"] == "pushed", text_run["gates"]
    assert [component["id"] for component in text_run["components"]] == node_ids(
        Config.model_validate(text_run["_raw"])
    )
    assert sum(text_run["splits"].values()) == 90
    assert text_run["metrics"]["accuracy"] > 0.8
    head, tune = text_run["phases"]
    assert head["trainable_parameters"] < tune["trainable_parameters"] == tune["total_parameters"]


def test_a_slice_of_texts_is_measured(text_run):
    gate = next(gate for gate in text_run["gates"] if gate["name"] == "loss <= 100 on length=short")
    assert gate["value"] != pytest.approx(text_run["metrics"]["loss"])


def test_the_schema_leaves_texts_free(text_run):
    schema = (artifacts(text_run, "SchemaGen", "schema") / "schema.pbtxt").read_text()
    assert 'value: "short"' in schema
    assert "boat" not in schema


def test_the_report_shows_texts(text_run):
    page = Path(text_run["report"]).read_text()
    assert any(f"{word} " in page for words in TOPICS.values() for word in words)
    assert "90 of 90 rows were used" in page


def test_odd_texts_are_served_as_the_training_path_sees_them(text_run):
    """Transform's graph and the exported weights, put together by hand, against the pushed model."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from finetune.config import BackboneConfig, TrainingConfig
    from trainer_module.backbones.model import build_network
    from trainer_module.backbones.sources import record_of
    from trainer_module.examples.input_data import evaluation_batches, load_split
    from transforms.modalities import MODALITIES
    from transforms.tasks import TASKS, Labels

    pushed = tf.saved_model.load(text_run["pushed_model"])
    serve = pushed.signatures["serving_default"]
    raw = text_run["_raw"]
    config = BackboneConfig.model_validate(raw["backbone"])
    transform = tft.TFTransformOutput(str(artifacts(text_run, "Transform", "transform_graph")))
    _, model = build_network(config, TrainingConfig.model_validate(raw["training"]), classes=2)
    for variable, trained in zip(model.variables, pushed._weights, strict=True):
        variable.assign(trained)

    texts = list(ODD.values())
    ids = transform.transform_features_layer()({"text": tf.constant(texts)[:, tf.newaxis]})["word_ids"]
    expected = model(ids, training=False).numpy()
    served = serve(tf.constant(texts))["probabilities"].numpy()
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-5)

    def example(text: bytes) -> bytes:
        feature = {"text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))}
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    as_examples = serve(tf.constant([example(text) for text in texts]))["probabilities"].numpy()
    np.testing.assert_array_equal(as_examples, served)

    # And what Beam wrote for the Trainer is what serving makes of the same texts.
    split = load_split(
        [f"{artifacts(text_run, 'Transform', 'transformed_examples')}/Split-val/*"],
        MODALITIES["text"].inputs(record_of(config), transform),
        Labels(TASKS["single_label"], 2),
    )
    with np.load(artifacts(text_run, "Trainer", "model_run") / "val_predictions.npz") as saved:
        assert saved["keys"].tolist() == split.keys
        (batch,) = [value for value, _ in evaluation_batches(split, 100)]
        np.testing.assert_allclose(model(batch, training=False), saved["probabilities"], rtol=0, atol=1e-5)


def test_predict_answers_for_files_and_texts(text_run, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    (tmp_path / "note.txt").write_text("the boat and a sail")
    (tmp_path / "empty.txt").write_text("")
    model = str(Path(text_run["pushed_model"]).parent)
    command = ["predict", model, str(tmp_path / "note.txt"), str(tmp_path / "empty.txt"), "--json"]
    done = CliRunner().invoke(app, [*command, "--text", "a [bird] in the cloud", "--text", ""])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("label") for row in rows[:3:2]] == ["sea", "sky"]
    assert rows[1]["error"].startswith("empty file")
    assert rows[2]["text"] == "a [bird] in the cloud"
    assert set(rows[3]["probabilities"]) == set(TOPICS)
    table = CliRunner().invoke(app, ["predict", model, "--text", "a [bird] in the cloud"])
    assert "a [bird] in the cloud" in table.stdout
    assert table.exit_code == 0


@pytest.mark.long
def test_auto_searches_on_texts_and_serves_what_it_calibrated(runner, text_run):
    raw = {**text_run["_raw"], "training": {"strategy": "auto", "batch_size": 16, "budget_minutes": 60}}
    found = runner.run(raw=raw)
    assert found["error"] is None
    search, refit, calibration = found["search"], found["refit"], found["calibration"]
    assert [each["name"] for each in search["candidates"]] == ["probe", "all_layers_briefly", "all_layers"]
    assert all(each["seconds"] > 0 for each in search["candidates"]), "an hour is enough for all"
    assert refit["examples"] == found["splits"]["train"] + found["splits"]["val"]
    assert calibration["loss_after"] <= calibration["loss_before"] + 1e-6
    # What is served is held against the calibrated network in memory.
    parity = next(gate for gate in found["gates"] if gate["metric"] == "parity_max_difference")
    assert parity["passed"]
    assert found["metrics"]["accuracy"] > 0.8

"""Several labels an example in small: tables and a manifest in, gated, pushed, served with thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from text_data import COMMON, TOPICS, write_word_table

from finetune.artifacts.report_data import ReportData
from finetune.config import Config
from pipeline.plan import node_ids

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


NAMES = [*TOPICS, "rare"]


def write_texts(path: Path, count: int) -> Path:
    """A table of texts about one topic, about both, or about neither; a word of its own makes a label that few have."""
    random = np.random.default_rng(1)
    rows = ["text,labels"]
    for number in range(count):
        labels = [topic for place, topic in enumerate(TOPICS) if (number >> place) & 1]
        words = [*random.choice(COMMON[:5], 3), *(word for topic in labels for word in random.choice(TOPICS[topic], 3))]
        if number % 24 == 0:
            labels.append("rare")
        random.shuffle(words)
        rows.append(f"{' '.join(words)} {number},{'|'.join(labels)}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("several")
    raw = {
        "name": "several",
        "task": "multi_label",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(write_texts(folder / "topics.csv", 168)),
            "layout": "table",
            "label_column": "labels",
        },
        "backbone": {
            "name": "GloVe",
            "weights": str(write_word_table(folder / "words.json")),
            "text": {"max_words": 12, "unknown_words": 3},
        },
        "training": {
            "batch_size": 16,
            "head": {"units": [], "dropout": 0.0},
            "phases": [{"name": "head", "epochs": 12, "learning_rate": 3e-2}],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {
            "baselines": ["majority", "logistic_regression"],
            "gates": [
                {"metric": "micro_f1", "min": 0.6},
                {"metric": "micro_f1", "min": 0.05, "relative_to": "majority"},
                {"metric": "mean_average_precision", "min": 0.3},
                {"metric": "f1", "of_class": "sea", "min": 0.6},
                {"metric": "hamming_loss", "max": 0.9, "slice": {"label": "sea"}},
            ],
        },
    }
    return {**runner.run(raw=raw), "_raw": raw}


def artifacts(summary: dict, node: str, output: str) -> Path:
    (folder,) = (Path(summary["output_dir"]) / "artifacts" / node / output).iterdir()
    return folder


def test_texts_with_several_labels_become_a_pushed_model(run):
    assert run["error"] is None
    assert run["status"] == "pushed", run["gates"]
    assert [component["id"] for component in run["components"]] == node_ids(Config.model_validate(run["_raw"]))
    assert sum(run["splits"].values()) == 168
    assert all(gate["passed"] for gate in run["gates"])
    assert {"micro_f1", "macro_f1", "mean_average_precision"} <= run["metrics"].keys()
    assert "accuracy" not in run["metrics"]
    assert run["baselines"]["logistic_regression"]["micro_f1"] > run["baselines"]["majority"]["micro_f1"]
    assert 0 < run["phases"][0]["val_accuracy"] <= 1


def test_every_split_has_the_label_that_few_texts_have(run):
    report = json.loads((artifacts(run, "TextExampleGen", "examples") / "ingest_report.json").read_text())
    assert all(split["classes"]["rare"] for split in report["splits"].values())
    assert sum(split["classes"]["rare"] for split in report["splits"].values()) == 7
    assert sum(split["unlabelled"] for split in report["splits"].values()) == 35


def test_thresholds_are_those_that_are_best_on_val(run):
    """Chosen on val by the Trainer, stored beside the model, and what the model decides by."""
    import tensorflow as tf

    from evaluation.thresholds import best_thresholds
    from trainer_module.examples.input_data import labels, load_split
    from transforms.inputs import TensorInputs
    from transforms.tasks import TASKS, Labels

    facts = json.loads((Path(run["pushed_model"]) / "assets.extra" / "finetune.json").read_text())
    assert facts["task"] == "multi_label"
    records = f"{artifacts(run, 'Transform', 'transformed_examples')}/Split-val/*"
    split = load_split([records], TensorInputs({}, "text", "text"), Labels(TASKS["multi_label"], 3))
    with np.load(artifacts(run, "Trainer", "model_run") / "val_predictions.npz") as saved:
        assert saved["keys"].tolist() == split.keys
        expected = best_thresholds(labels(split).numpy(), saved["probabilities"])
    np.testing.assert_allclose(facts["thresholds"], expected)
    serve = tf.saved_model.load(run["pushed_model"]).signatures["serving_default"]
    answer = {name: value.numpy() for name, value in serve(tf.constant(["the boat", "bird and wave"])).items()}
    assert set(answer) == {"probabilities", "classes", "predicted"}
    np.testing.assert_array_equal(answer["predicted"], answer["probabilities"] >= np.float32(facts["thresholds"]))


def test_the_report_shows_each_label_with_its_threshold_and_says_what_accuracy_is(run):
    import tensorflow as tf

    data = ReportData.read(Path(run["report"]).parent)
    serve = tf.saved_model.load(run["pushed_model"]).signatures["serving_default"]
    names = [name.decode() for name in serve(tf.constant(["the boat"]))["classes"].numpy()[0]]
    facts = json.loads((Path(run["pushed_model"]) / "assets.extra" / "finetune.json").read_text())
    assert data.thresholds == pytest.approx(dict(zip(names, facts["thresholds"], strict=True)))
    assert [row.name for row in data.per_class] == sorted(names)
    assert all(sample.label == (", ".join(sample.labels) or "(no label)") for sample in data.samples)
    html = Path(run["report"]).read_text()
    assert '<section id="labels">' in html
    assert '<section id="confusion">' not in html
    assert "Accuracy is the mean Jaccard index" in html


def test_tfma_measures_what_the_predictions_say(run):
    from components.evaluator.results import read_metrics

    candidate, champion = read_metrics(str(artifacts(run, "Evaluator", "evaluation")))
    assert champion is None
    for name in ("micro_f1", "macro_f1", "mean_average_precision", "loss"):
        assert candidate[()][name] == pytest.approx(run["metrics"][name], abs=1e-4), name


def test_predict_shows_all_labels_that_reach_their_thresholds(run):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    texts = ["--text", "boat sail cloud wing", "--text", "the of and"]
    command = ["predict", str(Path(run["pushed_model"]).parent), *texts]
    rows = [json.loads(line) for line in CliRunner().invoke(app, [*command, "--json"]).stdout.splitlines()]
    assert set(TOPICS) <= set(rows[0]["labels"])
    assert not set(TOPICS) & set(rows[1]["labels"])
    probabilities = [rows[0]["probabilities"][name] for name in rows[0]["labels"]]
    assert probabilities == sorted(probabilities, reverse=True)
    table = CliRunner().invoke(app, command).stdout
    assert f"{rows[0]['labels'][0]} {probabilities[0]:.3f}  {rows[0]['labels'][1]}" in table


@pytest.fixture(scope="module")
def run_of_images(runner, raw_config, tmp_path_factory) -> dict:
    """Pictures with a disc on the left, a square on the right, both or neither, listed in a manifest."""
    folder = tmp_path_factory.mktemp("shapes")
    rows = ["path,labels"]
    for number in range(120):
        labels = [name for place, name in enumerate(("disc", "square")) if (number >> place) & 1]
        draw_several(labels, number).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'|'.join(labels)}")
    (folder / "shapes.csv").write_text("\n".join(rows))
    raw = {
        **raw_config,
        "name": "shapes",
        "task": "multi_label",
        "output_dir": str(folder / "runs"),
        "data": {"root": str(folder), "manifest": "shapes.csv", "label_column": "labels"},
        "evaluation": {"gates": [{"metric": "micro_f1", "min": 0.3}, {"metric": "f1", "of_class": "*", "min": 0}]},
    }
    return runner.run(raw=raw)


def draw_several(labels: list[str], seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:20, 0:40]
    shape = np.zeros((20, 40), dtype=bool)
    if "disc" in labels:
        shape |= np.hypot(y - 10, x - 10) < 6
    if "square" in labels:
        shape |= (abs(y - 10) < 6) & (abs(x - 30) < 6)
    return Image.fromarray((shape * 150 + random.integers(0, 80, shape.shape)).astype(np.uint8))


@pytest.mark.long
def test_pictures_of_a_manifest_become_a_pushed_model(run_of_images):
    assert run_of_images["error"] is None
    assert run_of_images["status"] == "pushed", run_of_images["gates"]
    assert run_of_images["splits"]["train"] < sum(run_of_images["splits"].values()) == 120
    assert [gate["name"] for gate in run_of_images["gates"][1:3]] == ["f1 of disc >= 0", "f1 of square >= 0"]
    report = json.loads((artifacts(run_of_images, "ImageExampleGen", "examples") / "ingest_report.json").read_text())
    assert sum(split["unlabelled"] for split in report["splits"].values()) == 30

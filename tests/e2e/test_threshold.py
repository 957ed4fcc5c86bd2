"""A threshold chosen on validation: one decision in training, gates, pushed model and `predict`; groups beside it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from text_data import TOPICS, write_word_table

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


GATE = {"metric": "sensitivity_at_specificity", "at": 0.8, "of_class": "sky"}
COSTS = {"sky": {"sea": 5.0}}


def write_notes(path: Path, count: int) -> Path:
    """Notes of speakers, a fifth of them about the sky, whose words tell the topic three times out of four."""
    random = np.random.default_rng(6)
    lines = ["label,text,speaker"]
    for number in range(count):
        topic = "sky" if number % 5 == 0 else "sea"
        other = "sea" if topic == "sky" else "sky"
        words = [random.choice(TOPICS[topic if random.random() < 0.75 else other]) for _ in range(3)]
        lines.append(f"{topic},{' '.join(words)} {number},speaker {number % 67}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def screened(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("threshold")
    raw = {
        "name": "screened",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(write_notes(folder / "notes.csv", 670)),
            "layout": "table",
            "group_column": "speaker",
        },
        "backbone": {
            "name": "GloVe",
            "weights": str(write_word_table(folder / "words.json")),
            "text": {"max_words": 8, "unknown_words": 3},
        },
        "training": {
            "batch_size": 32,
            "head": {"units": [], "dropout": 0.0},
            "phases": [{"name": "head", "epochs": 4, "learning_rate": 1e-2}],
        },
        "evaluation": {
            "threshold": {"of_class": "sky", "metric": "specificity_at_sensitivity", "at": 0.9},
            "costs": COSTS,
            "baselines": ["majority", "logistic_regression"],
            "gates": [
                {**GATE, "min": 0.1, "confidence": 0.9},
                {"metric": "recall", "of_class": "sky", "min": 0.1},
                {"metric": "specificity", "of_class": "sky", "min": 0.1},
                {"metric": "accuracy", "min": 0.1},
                {"metric": "expected_cost", "max": 4},
            ],
        },
    }
    return {**runner.run(raw=raw), "_raw": raw}


def artifacts(summary: dict, node: str, output: str) -> Path:
    (folder,) = (Path(summary["output_dir"]) / "artifacts" / node / output).iterdir()
    return folder


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def threshold_of(screened: dict) -> np.float32:
    history = json.loads((artifacts(screened, "Trainer", "model_run") / "history.json").read_text())
    assert history["threshold_of"] == "sky"
    assert history["classes"] == ["sea", "sky"]
    return np.float32(history["thresholds"][1])


def test_it_is_pushed(screened):
    assert screened["error"] is None
    assert screened["status"] == "pushed", screened["gates"]


def test_the_threshold_is_the_one_that_validation_gives(screened):
    import tensorflow as tf

    from evaluation.thresholds import two_class_decision
    from finetune.config.evaluation import ThresholdConfig
    from transforms.features import LABEL
    from transforms.records import read_records

    label_of = {}
    for file in artifacts(screened, "TextExampleGen", "examples").glob("Split-val/*"):
        for record in read_records([str(file)]):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            label_of[feature["sha256"].bytes_list.value[0].decode()] = feature[LABEL].bytes_list.value[0].decode()
    with np.load(artifacts(screened, "Trainer", "model_run") / "val_predictions.npz") as saved:
        labels = np.array([["sea", "sky"].index(label_of[key]) for key in saved["keys"].tolist()])
        wanted = ThresholdConfig(**screened["_raw"]["evaluation"]["threshold"])
        chosen = two_class_decision(wanted, {}, ["sea", "sky"], labels, saved["probabilities"])
        assert np.float32(chosen["thresholds"][1]) == threshold_of(screened)
        said = saved["probabilities"][:, 1] >= threshold_of(screened)
    assert said[labels == 1].mean() >= 0.9
    assert abs(threshold_of(screened) - 0.5) > 0.05, "another than the most probable class is said of some"


def test_every_place_makes_the_same_decisions(screened):
    import tensorflow as tf
    from typer.testing import CliRunner

    from finetune_cli.main import app

    texts = [note["text"] for note in rows_of(Path(screened["_raw"]["data"]["root"]))]
    served = tf.saved_model.load(screened["pushed_model"]).signatures["serving_default"](tf.constant(texts))
    said = [name.decode() for name in served["label"].numpy()]
    sky = served["probabilities"].numpy()[:, 1]
    assert said == ["sky" if reached else "sea" for reached in sky >= threshold_of(screened)]
    assert said != ["sky" if reached else "sea" for reached in sky > 0.5], "the threshold moved some decisions"

    # What the gates judged: the answers of the candidate to the test split.
    by_line = {f"notes.csv:{line}": label for line, label in enumerate(said, 2)}
    judged = rows_of(artifacts(screened, "BulkInferrer", "predictions") / "predictions.csv")
    assert judged
    assert [row["predicted"] for row in judged] == [by_line[row["path"]] for row in judged]

    command = ["predict", str(Path(screened["pushed_model"]).parent), "--json"]
    arguments = [argument for text in texts[:64] for argument in ("--text", text)]
    rows = [json.loads(line) for line in CliRunner().invoke(app, [*command, *arguments]).stdout.splitlines()]
    assert [row["label"] for row in rows] == said[:64]
    assert all(row["probability"] == row["probabilities"][row["label"]] for row in rows)


def test_gates_judge_those_decisions(screened):
    judged = rows_of(artifacts(screened, "BulkInferrer", "predictions") / "predictions.csv")
    actual, said = (np.array([row[key] == "sky" for row in judged]) for key in ("label", "predicted"))
    point, recall, specificity, accuracy, cost = (gate["value"] for gate in screened["gates"][:5])
    assert recall == pytest.approx(said[actual].mean())
    assert specificity == pytest.approx((~said[~actual]).mean())
    assert accuracy == pytest.approx((said == actual).mean())
    assert cost == pytest.approx(np.where(actual & ~said, 5.0, actual != said).mean())
    assert 0 < point <= 1
    evaluation = json.loads((artifacts(screened, "GateKeeper", "verdict") / "verdict.json").read_text())
    assert all("of groups" in gate["interval"]["method"] for gate in evaluation["gates"][:5])


def test_the_report_names_the_threshold(screened):
    assert "sky is said from a probability of" in Path(screened["report"]).read_text()


def test_a_speaker_is_in_one_split(screened):
    report = json.loads((artifacts(screened, "TextExampleGen", "examples") / "ingest_report.json").read_text())
    assert sum(split["groups"] for split in report["splits"].values()) == 67

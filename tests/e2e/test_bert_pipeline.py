"""Pairs of texts on a small BERT: ingested, cut into pieces, tuned in its top block, gated, pushed and served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hugging_face_folder import PIECES, save_encoder
from text_data import TOPICS

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


MAX_PIECES = 16


def write_pairs(path: Path, count: int) -> Path:
    """A CSV of questions and answers, of which the answer's topic is the label."""
    random = np.random.default_rng(1)
    lines = ["question,answer,topic"]
    for number in range(count):
        topics = list(TOPICS)
        asked, told = (random.choice(TOPICS[topic], 3) for topic in (topics[number % 3 % 2], topics[number % 2]))
        lines.append(f"{' '.join(asked)} {number}?,the {' '.join(told)},{topics[number % 2]}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def pair_run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("pairs")
    raw = {
        "name": "pairs",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(write_pairs(folder / "pairs.csv", 120)),
            "layout": "table",
            "text_columns": ["question", "answer"],
            "label_column": "topic",
        },
        "backbone": {
            "name": "BERT",
            "weights": save_encoder(folder / "bert"),
            "text": {"max_pieces": MAX_PIECES, "pooling": "max"},
        },
        "training": {
            "batch_size": 16,
            "head": {"units": [], "dropout": 0.0},
            "phases": [
                {"name": "head", "epochs": 6, "learning_rate": 1e-2},
                {
                    "name": "top",
                    "unfreeze": {"last_blocks": 1},
                    "epochs": 8,
                    "learning_rate": 1e-2,
                    "block_rate_factor": 0.9,
                },
            ],
        },
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.6}]},
    }
    return {**runner.run(raw=raw), "_raw": raw}


def test_pairs_become_a_pushed_model(pair_run):
    assert pair_run["error"] is None
    assert pair_run["status"] == "pushed", pair_run["gates"]
    assert sum(pair_run["splits"].values()) == 120
    head, top = pair_run["phases"]
    assert head["trainable_parameters"] < top["trainable_parameters"] < top["total_parameters"]
    assert top["frozen_features"]["cut"] in (None, "block1_where_pieces")
    parity = next(gate for gate in pair_run["gates"] if gate["metric"] == "parity_max_difference")
    assert parity["passed"]


def test_the_report_shows_both_texts(pair_run):
    page = Path(pair_run["report"]).read_text()
    assert "? / the " in page
    assert "\x1f" not in page


def test_predict_takes_pairs(pair_run):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    model = str(Path(pair_run["pushed_model"]).parent)
    texts = ["--text", "boat sail?", "--text-pair", "the wind", "--text", "wind", "--text-pair", ""]
    done = CliRunner().invoke(app, ["predict", model, "--json", *texts])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["boat sail?\x1fthe wind", "wind\x1f"]
    assert rows[0]["probabilities"] != rows[1]["probabilities"]
    odd = CliRunner().invoke(app, ["predict", model, *texts[:-2]])
    assert odd.exit_code == 2
    assert "--text-pair: got 1 for 2 of --text; expected one for each" in odd.stderr


def test_the_served_graph_makes_the_pieces_of_pairs(pair_run):
    import tensorflow as tf
    import tensorflow_transform as tft

    (folder,) = (Path(pair_run["output_dir"]) / "artifacts" / "Transform" / "transform_graph").iterdir()
    layer = tft.TFTransformOutput(str(folder)).transform_features_layer()
    ids = layer({"text": tf.constant([["boat\x1fthe wind"], ["boat " * 99 + "\x1fwing"]])})["piece_ids"].numpy()
    names = [[PIECES[number] for number in row if number] for row in ids]
    assert names[0] == ["[CLS]", "boat", "[SEP]", "the", "wind", "[SEP]"]
    assert names[1] == ["[CLS]", *["boat"] * (MAX_PIECES - 4), "[SEP]", "wing", "[SEP]"]

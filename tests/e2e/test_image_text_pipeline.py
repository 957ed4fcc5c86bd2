"""Pictures with words, some of which lack one side: ingested, joined, gated, pushed, reported and served."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


COLOURS = {"blue": (20, 30, 200), "green": (30, 180, 40), "red": (220, 30, 20)}
HOLES = 12


def write_data(folder: Path, count: int) -> Path:
    """Two colours side by side, and a text that asks for the left or the right one: `path`, `text`, `label`."""
    random = np.random.default_rng(1)
    folder.mkdir()
    rows = [["path", "text", "label"]]
    for number in range(count):
        left, right = random.permutation(list(COLOURS))[:2]
        pixels = np.empty((16, 16, 3))
        pixels[:, :8], pixels[:, 8:] = COLOURS[left], COLOURS[right]
        picture = Image.fromarray((pixels + random.integers(0, 30, pixels.shape)).astype(np.uint8))
        picture.save(folder / f"{number}.png")
        side, label = (("left", left), ("right", right))[number % 2]
        path, text = f"{number}.png", f"which is {side} of {number}"
        if number < HOLES:
            path, text = (path, "") if number % 2 else ("", text)
        rows.append([path, text, label])
    rows.append(["", "", "red"])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("sides")
    (folder / "words.txt").write_text("left 1 0 0 1\nright 0 1 0 -1\nwhich 0 0 1 0\nis 0 0 -1 0\nof 0 0 0.5 0.5\n")
    raw = {
        "name": "sides",
        "output_dir": str(folder / "runs"),
        "data": {
            "root": str(write_data(folder / "data", 240)),
            "manifest": "manifest.csv",
            "checks": {"labels": "off"},
        },
        "backbones": {
            "image": {"name": "SmallCNN", "weights": "random", "image_size": 16},
            "text": {"name": "GloVe", "weights": str(folder / "words.txt"), "text": {"max_words": 6}},
        },
        "training": {
            "batch_size": 16,
            "fusion": {"name": "cross_attention", "width": 32, "heads": 2, "missing": 0.1},
            "head": {"units": [32], "dropout": 0.0},
            "phases": [
                {"name": "fusion", "epochs": 12, "learning_rate": 3e-3},
                {"name": "picture", "unfreeze": {"image": "all"}, "epochs": 3, "learning_rate": 1e-3},
            ],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {"baselines": ["majority"], "gates": [{"metric": "accuracy", "min": 0.1}]},
    }
    return {**runner.run(raw=raw), "_data": folder / "data"}


def test_pictures_with_words_become_a_pushed_model(run):
    assert run["error"] is None
    assert run["status"] == "pushed", run["gates"]
    assert sum(run["splits"].values()) == 240, "the row without both sides is left out"
    fusion, picture = run["phases"]
    assert fusion["frozen_features"]["train"] in ("memory", "disk")
    assert fusion["trainable_parameters"] < picture["trainable_parameters"]
    parity = next(gate for gate in run["gates"] if gate["metric"] == "parity_max_difference")
    assert parity["passed"]


def test_the_report_shows_what_each_side_does_alone(run):
    page = Path(run["report"]).read_text()
    assert "What each side does alone" in page
    assert run["metrics"]["accuracy"] > 0.6


def test_predict_takes_a_table_with_holes(run, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    model = str(Path(run["pushed_model"]).parent)
    table = tmp_path / "asked.csv"
    picture = run["_data"] / "20.png"
    table.write_text(f"path,text\n{picture},which is left\n{picture},\n,which is right\n,\n")
    done = CliRunner().invoke(app, ["predict", model, str(table), "--json"])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("label" in each) for each in found] == [True, True, True, False], done.output
    assert "neither a picture nor a text" in json.dumps(found[-1])
    asked = CliRunner().invoke(app, ["predict", model, str(picture), "--text", "which is left", "--json"])
    (answer,) = [json.loads(line) for line in asked.stdout.splitlines()]
    assert answer["label"] == found[0]["label"]

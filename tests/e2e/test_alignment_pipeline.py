"""Pictures and texts brought into one space: trained, gated, pushed, searched, and asked by prompts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coloured_pictures import write_colours

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


@pytest.fixture(scope="module")
def run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("aligned")
    words = {"blue": "0 0 1", "green": "0 1 0", "red": "1 0 0", "white": "1 1 1", "a": ".1 .1 .1", "one": ".1 0 .1"}
    (folder / "words.txt").write_text("".join(f"{word} {vector}\n" for word, vector in words.items()))
    raw = {
        "name": "aligned",
        "output_dir": str(folder / "runs"),
        "data": {"root": str(write_colours(folder / "data", 240)), "manifest": "manifest.csv"},
        "backbones": {
            "image": {"name": "SmallCNN", "weights": "random", "image_size": 16},
            "text": {"name": "GloVe", "weights": str(folder / "words.txt"), "text": {"max_words": 4}},
        },
        "training": {
            "batch_size": 16,
            "fusion": {"name": "contrastive", "width": 16, "prompts": ["a {} one", "the {} one"]},
            "head": {"units": [], "dropout": 0.0},
            "phases": [
                {"name": "projections", "epochs": 6, "learning_rate": 3e-3},
                {"name": "picture", "unfreeze": {"image": "all"}, "epochs": 3, "learning_rate": 1e-3},
            ],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {
            "baselines": ["majority"],
            "gates": [
                {"metric": "accuracy", "min": 0.2, "relative_to": "majority", "confidence": 0.95},
                {"metric": "image_to_text_recall_at_1", "min": 0, "relative_to": "majority"},
                {"metric": "text_to_image_recall_at_5", "min": 0.1, "confidence": 0.95},
            ],
        },
    }
    return {**runner.run(raw=raw), "_data": folder / "data"}


def test_two_networks_become_one_space_that_is_pushed(run):
    assert run["error"] is None
    assert run["status"] == "pushed", run["gates"]
    assert run["metrics"]["accuracy"] > 0.9
    assert run["metrics"]["image_to_text_recall_at_1"] > 0.4, "of two texts of a colour, each is as right"
    assert run["baselines"]["majority"]["image_to_text_recall_at_1"] < 0.4
    projections, picture = run["phases"]
    assert projections["frozen_features"]["train"] in ("memory", "disk")
    assert projections["trainable_parameters"] < picture["trainable_parameters"]
    parity = next(gate for gate in run["gates"] if gate["metric"] == "parity_max_difference")
    assert parity["passed"]


def test_the_report_has_recall_with_its_interval(run):
    page = Path(run["report"]).read_text()
    assert "recall@1, picture to text" in page
    assert "What each side does alone" in page
    assert "share of pictures whose own text is the nearest" in page


def test_vectors_are_served_and_those_that_belong_together_are_near(run):
    import tensorflow as tf

    from transforms.sides import pack

    embed = tf.saved_model.load(run["pushed_model"]).signatures["embed"]
    pictures = {
        colour: (run["_data"] / f"{60 + place}.png").read_bytes()
        for place, colour in enumerate(("blue", "green", "red"))
    }
    both = [pack({"image": picture, "text": f"a {colour} one".encode()}) for colour, picture in pictures.items()]
    found = embed(examples=tf.constant([*both, pack({"text": b"a red one"})]))
    assert found["there"].numpy().tolist() == [[True, True]] * 3 + [[False, True]]
    similar = found["image"].numpy()[:3] @ found["text"].numpy()[:3].T
    assert similar.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(found["image"], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found["text"].numpy()[3], found["text"].numpy()[2], atol=1e-6)


def test_predict_takes_prompts_also_of_a_class_that_was_never_seen(run, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    model, picture = str(Path(run["pushed_model"]).parent), str(run["_data"] / "62.png")

    def asked(*arguments: str):
        return CliRunner().invoke(app, ["predict", model, picture, *arguments])

    prompts = [argument for colour in ("blue", "red", "white") for argument in ("--prompt", f"a {colour} one")]
    done = asked(*prompts, "--json")
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["label"] == "a red one", done.output
    assert list(answer["probabilities"]) == ["a blue one", "a red one", "a white one"]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    (own,) = [json.loads(line) for line in asked("--json").stdout.splitlines()]
    assert own["label"] == "red"
    assert set(own["probabilities"]) == {"blue", "green", "red"}
    wrong = asked("--prompt", "a red one")
    assert wrong.exit_code != 0
    assert "--prompt: got 'a red one'; expected at least two, each once" in wrong.output
    (tmp_path / "bad.png").write_bytes(b"nothing")
    done = CliRunner().invoke(app, ["predict", model, str(tmp_path / "bad.png"), *prompts, "--json"])
    assert "error" in json.loads(done.stdout)

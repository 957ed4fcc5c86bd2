"""Pictures with boxes in COCO's format, some odd: ingested, learned, gated by mAP, pushed, reported and served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coloured_pictures import PICTURES, RECTANGLES, SIDE, write_boxes

from finetune.artifacts.ingest_report import IngestReport
from transforms.objects import Objects

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


@pytest.fixture(scope="module")
def run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("boxes")
    raw = {
        "name": "boxes",
        "task": "detection",
        "output_dir": str(folder / "runs"),
        "data": {"root": str(write_boxes(folder / "data")), "manifest": "coco.json", "max_bad_fraction": 0.1},
        "backbone": {
            "name": "MobileNetV2",
            "weights": "random",
            "image_size": SIDE,
            "arguments": {"alpha": 0.35},
        },
        "augmentation": {"horizontal_flip": True, "random_resized_crop": 0.6},
        "training": {
            "batch_size": 8,
            "phases": [
                {"name": "head", "epochs": 2, "learning_rate": 1e-3},
                {"name": "tune", "unfreeze": {"last_blocks": 4}, "epochs": 6, "learning_rate": 1e-3},
            ],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {
            "gates": [
                {"metric": "box_map_50", "min": 0.0},
                {"metric": "box_map", "min": -0.01, "relative_to": "champion"},
            ]
        },
    }
    return {**runner.run(raw=raw), "_data": folder / "data"}


def test_boxes_become_a_pushed_model(run):
    assert run["error"] is None
    assert run["status"] == "pushed", run["gates"]
    assert sum(run["splits"].values()) == PICTURES - 1
    head, tune = run["phases"]
    assert head["trainable_parameters"] < tune["trainable_parameters"]
    assert next(gate for gate in run["gates"] if gate["metric"] == "parity_max_difference")["passed"]
    assert 0 <= run["metrics"]["box_map"] <= run["metrics"]["box_map_50"] <= 1


def test_what_is_odd_about_boxes_is_told(run):
    (path,) = Path(run["output_dir"]).rglob("ingest_report.json")
    report = IngestReport.read(path.parent)
    assert report.odd_annotations == {
        "without area, left out": 1,
        "outside of their picture, left out": 1,
        "around a crowd, neither learned nor counted": 1,
    }
    assert [each.reason for each in report.skipped] == ["another size"]


def test_the_report_has_average_precision_by_class_and_pictures_with_boxes(run):
    page = Path(run["report"]).read_text()
    assert "box mAP@[.5:.95]" in page
    assert "box mAP of small objects" in page
    for name in RECTANGLES:
        assert name in page
    assert "green boxes are right" in page
    assert page.count("data:image/jpeg;base64,") > 1


def test_predict_gives_objects(run):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    model, picture = str(Path(run["pushed_model"]).parent), str(run["_data"] / "7.png")
    done = CliRunner().invoke(app, ["predict", model, picture, "--json"])
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(found["probabilities"]) == set(RECTANGLES)
    for each in found["objects"]:
        assert each["label"] in RECTANGLES
        upper, left, lower, right = each["box"]
        assert 0 <= upper <= lower <= 1
        assert 0 <= left <= right <= 1
    shown = CliRunner().invoke(app, ["predict", model, picture])
    assert shown.exit_code == 0, shown.output


def test_examples_carry_their_objects(run):
    import tensorflow as tf

    from transforms.records import read_records

    files = [str(file) for file in Path(run["output_dir"]).rglob("ImageExampleGen/**/Split-train/*") if file.is_file()]
    texts = [
        tf.train.Example.FromString(record).features.feature["boxes"].bytes_list.value[0].decode()
        for record in read_records(files).as_numpy_iterator()
    ]
    assert {Objects.from_text(text).width for text in texts} == {SIDE}

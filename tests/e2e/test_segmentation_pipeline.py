"""Pictures with masks, some odd: ingested, learned, gated by mean IoU, pushed, reported and served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coloured_pictures import MASK_CLASSES, PICTURES, SIDE, WIDTH, write_masks
from PIL import Image

from finetune.artifacts.findings import Verdict
from finetune.artifacts.ingest_report import IngestReport

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


@pytest.fixture(scope="module")
def run(runner, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("masks")
    raw = {
        "name": "masks",
        "task": "segmentation",
        "output_dir": str(folder / "runs"),
        "data": {"root": str(write_masks(folder / "data")), "max_bad_fraction": 0.1},
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
                {"name": "head", "epochs": 2, "learning_rate": 3e-3},
                {"name": "tune", "unfreeze": {"last_blocks": 4}, "epochs": 6, "learning_rate": 3e-3},
            ],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {
            "baselines": ["majority"],
            "gates": [
                {"metric": "mean_iou", "min": -0.1, "relative_to": "majority"},
                {"metric": "mean_iou", "min": -0.01, "relative_to": "champion"},
            ],
        },
    }
    return {**runner.run(raw=raw), "_data": folder / "data"}


def test_masks_become_a_pushed_model(run):
    assert run["error"] is None
    assert run["status"] == "pushed", run["gates"]
    assert sum(run["splits"].values()) == PICTURES - 2
    head, tune = run["phases"]
    assert head["trainable_parameters"] < tune["trainable_parameters"]
    assert next(gate for gate in run["gates"] if gate["metric"] == "parity_max_difference")["passed"]
    assert 0 < run["metrics"]["mean_iou"] < run["metrics"]["dice"] <= 1
    assert 0 < run["baselines"]["majority"]["mean_iou"] < 0.5, "one class everywhere, of three"
    (verdict,) = Path(run["output_dir"]).rglob("verdict.json")
    found = Verdict.read(verdict.parent)
    assert {row.name for row in found.classes} == set(MASK_CLASSES)
    assert all(row.metrics["mean_iou"].interval for row in found.classes)


def test_what_is_odd_about_masks_is_told_by_name(run):
    (path,) = Path(run["output_dir"]).rglob("ingest_report.json")
    found = {each.path: (each.reason, each.detail) for each in IngestReport.read(path.parent).skipped}
    assert found["images/57.png"][0] == "mask: missing file"
    assert found["images/58.png"][0] == "mask: another size"
    assert found["images/58.png"][1].startswith("mask masks/58.png: got 64 x 64 pixels, and the picture has 80 x 64")


def test_the_report_has_iou_by_class_and_pictures_beside_their_masks(run):
    page = Path(run["report"]).read_text()
    assert "mean IoU" in page
    assert "pixel accuracy" in page
    assert 'class="colours"' in page
    assert 'class="samples wide"' in page
    for name in MASK_CLASSES:
        assert name in page
    assert page.count("data:image/jpeg;base64,") > 1


def test_predict_writes_masks_of_the_pictures_own_size(run, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    model, picture = str(Path(run["pushed_model"]).parent), str(run["_data"] / "images" / "7.png")
    done = CliRunner().invoke(app, ["predict", model, picture, "--json", "--masks", str(tmp_path / "found")])
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert row["mask"] == str(tmp_path / "found" / "7.png")
    assert sum(row["shares"].values()) == pytest.approx(1)
    names = (tmp_path / "found" / "classes.txt").read_text().splitlines()
    assert set(names) == set(MASK_CLASSES)
    with Image.open(row["mask"]) as mask:
        assert mask.size == (WIDTH, SIDE)
        shares = np.bincount(np.asarray(mask).ravel(), minlength=len(names)) / (WIDTH * SIDE)
    for name, share in row["shares"].items():
        assert shares[names.index(name)] == pytest.approx(share, abs=0.02)
    shown = CliRunner().invoke(app, ["predict", model, picture])
    assert shown.exit_code == 0, shown.output

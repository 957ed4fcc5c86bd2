"""Data with planted faults go through ingest, Transform and the checks: what is told, left out, stopped, corrected."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from finetune.artifacts.data_findings import DataFindings
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from finetune_cli.main import app
from pipeline.metadata_connection import sqlite_connection
from pipeline.run_metadata import RunMetadata

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test


COPIED = "train/ring/003.png"
COPY = "test/ring/copy.jpg"
WRONG = "train/disc/wrong.png"


@pytest.fixture(scope="module")
def data(images, tmp_path_factory) -> Path:
    """Shapes, a square among the discs of train, and a picture of train again in test, compressed."""
    root = Path(shutil.copytree(images, tmp_path_factory.mktemp("faulty") / "images"))
    with Image.open(root / "train/square/000.png") as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(root / WRONG)
    with Image.open(root / COPIED) as picture:
        picture.convert("RGB").save(root / COPY, quality=95)
    return root


@pytest.fixture(scope="module")
def check(data, tmp_path_factory) -> Callable[..., RunSummary]:
    """Checks the data with some `data` keys; all checks share one output folder, and so the cache."""
    from pipeline.local import check_data

    output = str(tmp_path_factory.mktemp("checked"))

    def run(**keys: object) -> RunSummary:
        backbone = {"name": "SmallCNN", "weights": "random", "image_size": 16}
        raw = {"name": "shapes", "output_dir": output, "data": {"root": str(data), **keys}, "backbone": backbone}
        return check_data(Config.model_validate(raw))

    return run


def rows(summary: RunSummary) -> list[dict[str, str]]:
    """The rows of the run's label_errors.csv."""
    with Path(summary.report).with_name("label_errors.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_told_stopped_left_out_and_corrected(check, data, tmp_path):
    from transforms.records import read_records

    told = check()
    assert (told.status, told.error) == ("checked", None)
    assert [component.id for component in told.components][-1] == "DataGate"
    listed = rows(told)
    assert list(listed[0]) == ["path", "label", "suggested", "score"]
    assert len(listed) == 36 + 1 + 18
    report = ReportData.read(Path(told.report).parent)
    across = {finding.check: finding for finding in told.data_checks}["duplicates_across_splits"]
    assert across.found
    suspects = report.data_findings.suspects["duplicates_across_splits"]
    shown = [example for suspect in suspects for example in suspect.examples]
    assert {COPIED, COPY} <= {example.path for example in shown}
    assert all(Path(example.image).is_file() for example in shown)
    assert 'id="checks"' in Path(told.report).read_text()

    stopped = check(checks={"duplicates_across_splits": "stop"})
    assert stopped.status == "refused"
    assert stopped.error.startswith("DataGate: data.checks.duplicates_across_splits: near-duplicates across splits")
    assert "at most 0.0% expected" in stopped.error
    assert stopped.components[-1].state == "failed"
    assert len(rows(stopped)) == len(listed)
    assert COPY in Path(stopped.report).read_text()

    dropped = check(checks={"duplicates_across_splits": "drop"})
    left_out = ReportData.read(Path(dropped.report).parent).data_findings.dropped
    assert COPIED in left_out
    assert not [path for path in left_out if path.startswith("test/")]
    outputs = RunMetadata(sqlite_connection(Path(dropped.output_dir) / "metadata.sqlite"), dropped.run_id).outputs()
    trained_on = Path(outputs["DataGate"]["trained_on"].uri)
    kept = sum(1 for _ in read_records([str(path) for path in trained_on.rglob("transformed_examples*")]))
    assert kept == len(listed) - len(left_out)

    corrections = tmp_path / "corrections.csv"
    corrections.write_text(f"path,label\n{WRONG},square\n")
    corrected = check(corrections=str(corrections))
    assert {row["path"]: row["label"] for row in rows(corrected)}[WRONG] == "square"
    assert {component.id: component.state for component in corrected.components}["ImageExampleGen"] == "ran"
    assert (data / WRONG).is_file(), "the data stay as they are"
    corrections.write_text(f"path,label\n{WRONG},ring\n")
    again = check(corrections=str(corrections))
    assert {row["path"]: row["label"] for row in rows(again)}[WRONG] == "ring", "what is corrected is part of the data"
    corrections.write_text("path,label\nnothing.png,ring\n")
    failed = check(corrections=str(corrections))
    assert failed.status == "failed"
    assert "data.corrections: line 2: got the path 'nothing.png'" in failed.error


def test_the_trainer_reads_what_is_left_where_something_may_be_dropped(data):
    from pipeline.dag import build_pipeline

    def examples_of(node_id: str, **checks: object) -> str:
        backbone = {"name": "SmallCNN", "weights": "random", "image_size": 16}
        raw = {"name": "p", "data": {"root": str(data), "checks": checks}, "backbone": backbone}
        raw["evaluation"] = {"baselines": ["logistic_regression", "from_scratch"]}
        nodes = {node.id: node for node in build_pipeline(Config.model_validate(raw)).components}
        upstream = {node.id for node in nodes[node_id].upstream_nodes}
        assert "DataGate" in upstream or "DataGate" not in nodes, "a run that is stopped trains nothing"
        return nodes[node_id].inputs["examples"].producer_component_id

    for node_id in ("Trainer", "LinearTrainer", "ScratchTrainer"):
        assert examples_of(node_id) == "Transform"
        assert examples_of(node_id, label_errors="drop") == "DataGate"
    from evaluation.data_checks import CHECKS

    assert examples_of("Trainer", **dict.fromkeys(CHECKS, "off")) == "Transform"


def test_what_the_commands_do_about_findings(data, tmp_path):
    """Stopped, then trained on what is left, then held beside the champion that came of it."""
    root = Path(shutil.copytree(data, tmp_path / "images"))
    config = tmp_path / "config.yaml"
    raw = {
        "name": "shapes",
        "output_dir": str(tmp_path / "out"),
        "data": {"root": str(root)},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 16},
        "training": {"phases": [{"name": "head", "epochs": 1, "learning_rate": 1e-2}]},
        "serving": {"measure_seconds": 1},
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0}], "baselines": []},
    }
    config.write_text(yaml.safe_dump(raw))

    def command(name: str, *overrides: str) -> tuple[int, RunSummary]:
        summary = tmp_path / "summary.json"
        summary.unlink(missing_ok=True)
        result = CliRunner().invoke(app, [name, str(config), *overrides, "--summary", str(summary)])
        assert summary.is_file(), result.output
        return result.exit_code, RunSummary.model_validate_json(summary.read_text())

    def finding(summary: RunSummary, check: str):
        return {finding.check: finding for finding in summary.data_checks}[check]

    stop, drop = (f"data.checks.duplicates_across_splits={action}" for action in ("stop", "drop"))
    for name in ("check-data", "run"):
        code, summary = command(name, stop)
        assert (code, summary.status) == (3, "refused")
        assert "Trainer" not in {component.id for component in summary.components}
        assert "data.checks.duplicates_across_splits" in summary.error
    code, summary = command("run", drop)
    assert (code, summary.status) == (0, "pushed")
    assert finding(summary, "duplicates_across_splits").dropped >= 1
    assert finding(summary, "champion_data").why_not == "there is no champion that was trained on other data"
    model_run = RunMetadata(sqlite_connection(Path(summary.output_dir) / "metadata.sqlite"), summary.run_id).outputs()[
        "DataGate"
    ]
    assert COPIED in DataFindings.read(Path(model_run["findings"].uri)).dropped

    code, summary = command("check-data", drop)
    assert (code, summary.status) == (0, "checked")
    assert {component.id: component.state for component in summary.components}["DataGate"] == "cached"
    for number in range(40):
        shutil.copy(root / "train/ring/000.png", root / f"train/ring/more{number}.png")
        with (root / f"train/ring/more{number}.png").open("ab") as file:
            file.write(b"%d" % number)
    code, summary = command("check-data", drop)
    assert (code, summary.status) == (0, "checked")
    changed = finding(summary, "champion_data")
    assert changed.found
    assert changed.worst.startswith("label: 'ring' went from 3")
    code, summary = command("check-data", "data.checks.champion_data=stop")
    assert (code, summary.status) == (3, "refused")
    assert "data.checks.champion_data: train beside the champion's training data" in summary.error

"""`finetune rollback` and `finetune approve` on folders made by hand; no pipeline runs here."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from finetune.artifacts.findings import GateResult, Interval, Measured
from finetune.artifacts.pushed_version import CardData, ModelCard, PushRecord
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import BackboneOrigin, PhaseRow
from finetune_cli.main import app
from pipeline.saved_report import save_report
from registry.approval import stage
from registry.model_card import card_files, markdown
from registry.versions import push_version, versions

CARD = ModelCard(
    name="flowers",
    created_at="2026-11-22",
    model_sha256="abc",
    backbone=BackboneOrigin(name="SmallCNN", source="random"),
    data=CardData(splits={"train": 3}, classes=["a|b", "<c>"], fingerprint="files:3"),
    metrics={"accuracy": Measured(value=0.5, interval=Interval(low=0.4, high=0.6, confidence=0.95))},
    gates=[GateResult("accuracy >= 0.4", "accuracy", value=0.5, bound=0.4, passed=True, reason="0.5 is at least 0.4")],
    phases=[
        PhaseRow(
            name="head",
            epochs=2,
            seconds=1.0,
            trainable_parameters=10,
            total_parameters=20,
            val_loss=0.25,
            val_accuracy=0.5,
        )
    ],
    environment={"python": "3.10"},
)


def finetune(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path):
    def make(name: str):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saved_model.pb").write_text(name)
        return folder

    return make


def test_rollback_takes_a_folder_or_a_config_and_says_what_is_served(model, tmp_path):
    directory = tmp_path / "runs" / "pushed"
    for name in "ab":
        push_version(model(name), directory)
    done = finetune("rollback", directory.parent)
    assert (done.exit_code, done.stdout) == (0, f"serving  {directory / '3'}: the model of version 1\n")
    config = tmp_path / "config.yaml"
    config.write_text(
        f"{{name: flowers, output_dir: {tmp_path / 'runs'}, data: {{root: .}}, "
        "backbone: {name: SmallCNN, weights: random}}"
    )
    done = finetune("rollback", config, "--to", 2)
    assert (done.exit_code, done.stdout) == (0, f"serving  {directory / '4'}: the model of version 2\n")
    assert finetune("rollback", directory, "--to", 9).exit_code == 1
    assert finetune("rollback", tmp_path / "absent.yaml").exit_code == 2
    assert versions(directory) == [1, 2, 3, 4]


def test_approve_publishes_and_tells_the_run(model, tmp_path):
    directory, run_dir = tmp_path / "runs" / "pushed", tmp_path / "runs" / "runs" / "1"
    waiting = stage(model("a"), directory, card_files(CARD), PushRecord(), keep=3)
    summary = RunSummary(run_id="1", status="pending", pending_model=str(waiting))
    save_report(run_dir, ReportData(title="flowers", summary=summary))
    assert "Pending" in (run_dir / "report.html").read_text()
    done = finetune("approve", tmp_path / "runs", "--by", "[ann]")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"approved  {directory / '1'}, by [ann] at 20")
    told = json.loads((run_dir / "summary.json").read_text())
    assert (told["status"], told["pushed_model"], told["approval"]["by"]) == ("pushed", str(directory / "1"), "[ann]")
    for target in (run_dir, directory):
        again = finetune("approve", target, "--by", "bob")
        assert again.exit_code == 0
        assert again.stdout.startswith(f"approved before  {directory / '1'}, by [ann]")
    assert versions(directory) == [1]


def test_the_folder_of_versions_will_do_where_there_are_no_runs(model, tmp_path):
    stage(model("a"), tmp_path / "pushed", {}, PushRecord(), keep=3)
    assert finetune("approve", tmp_path / "pushed").exit_code == 0
    assert versions(tmp_path / "pushed") == [1]


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_what_was_not_blessed_cannot_be_approved(tmp_path, status):
    summary = RunSummary(run_id="1", status=status, error="boom")
    save_report(tmp_path, ReportData(title="flowers", summary=summary))
    done = finetune("approve", tmp_path)
    assert done.exit_code == 1
    assert f"was {status}, so there is nothing to approve. boom" in done.stderr


def test_nothing_to_approve_is_an_error(model, tmp_path):
    assert "expected a run's folder" in finetune("approve", tmp_path).stderr
    push_version(model("a"), tmp_path / "pushed")
    assert "was pushed without an approval" in finetune("approve", tmp_path / "pushed").stderr


def test_the_card_says_everything_and_names_cannot_break_its_tables():
    page = markdown(CARD)
    assert "| accuracy | 0.5000 | 0.4000 to 0.6000 (95 %) |  |" in page
    assert "a\\|b, &lt;c>" in page
    assert "| accuracy >= 0.4 | passed | 0.5 is at least 0.4 |" in page
    assert "Passed every gate." in page
    refused = GateResult("accuracy >= 0.9", "accuracy", value=0.5, bound=0.9, passed=False)
    failed = markdown(CARD.model_copy(update={"report_only": True, "gates": [refused]}))
    assert "**Pushed although 1 of its gates failed**" in failed
    assert markdown(ModelCard(name="flowers", created_at="2026-11-22", model_sha256="abc")).startswith("# flowers\n")

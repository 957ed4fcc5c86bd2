"""The history of a pipeline: collected from summaries and records, told as events, kept when folders go."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from finetune.artifacts.data_findings import DataFinding
from finetune.artifacts.findings import GateResult, Measured, SliceFindings
from finetune.artifacts.history import History, PastRun, PastVersion, Reason
from finetune.artifacts.pushed_version import ModelCard, PushRecord
from finetune.artifacts.retrain_decision import RetrainDecision, RetrainReason
from finetune.artifacts.run_summary import RunSummary
from finetune.config import load_config
from finetune_cli.main import app
from pipeline.history.collect import history_of, save_history
from pipeline.history.events import events_of
from pipeline.report.history import page, render
from registry.model_card import card_files
from registry.versions import push_version, roll_back

FIRST, SECOND, THIRD = (f"2026010{day}T120000.000000Z" for day in (1, 2, 3))


@pytest.fixture
def config(tmp_path: Path):
    raw = {
        "name": "shapes",
        "output_dir": str(tmp_path / "out"),
        "data": {"root": str(tmp_path)},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
        "evaluation": {"gates": [{"metric": "macro_f1", "min": 0.5}]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    return load_config(tmp_path / "config.yaml")


@pytest.fixture
def output(tmp_path: Path, config) -> Path:
    """Two runs that pushed and one that was refused, and a rollback."""
    root = tmp_path / "out"
    for number, run_id in enumerate((FIRST, SECOND), 1):
        model = tmp_path / f"model{number}"
        model.mkdir()
        (model / "weights").write_text(run_id)
        card = ModelCard(
            name="shapes", created_at=run_id, model_sha256="", metrics={"macro_f1": Measured(value=0.5 + number / 8)}
        )
        version, _ = push_version(model, root / "pushed", card_files(card), PushRecord(model_uri=str(model)))
        summary = RunSummary(
            run_id=run_id, status="pushed", pushed_model=str(version), metrics={"macro_f1": 0.5 + number / 8}
        )
        summary.write(root / "runs" / run_id)
    gate = GateResult("macro_f1 >= 0.5", "macro_f1", value=0.25, bound=0.5, passed=False, reason="0.25 is below 0.5")
    finding = DataFinding(
        check="representative", label="val and test beside train", action="warn", measures="AUC", share=False,
        value=0.75, bound=0.6, found=True,
    )  # fmt: skip
    RunSummary(
        run_id=THIRD,
        status="refused",
        gates=[gate],
        metrics={"macro_f1": 0.25},
        champion_metrics={"macro_f1": 0.75},
        data_checks=[finding],
    ).write(root / "runs" / THIRD)
    roll_back(root / "pushed", by="ann@host")
    return root


def test_candidates_and_champions_are_shown_beside_each_other_on_each_span():
    def measured(span: str, value: float, champion: float | None = None) -> SliceFindings:
        return SliceFindings(slice={"span": span}, examples=8, value=value, champion=champion)

    first = RunSummary(run_id=FIRST, status="pushed", pushed_model="pushed/1", spans=[measured("9", 0.5)])
    spans = [measured("10", 0.75, 0.25), measured("9", 0.625, 0.5)]
    second = RunSummary(run_id=SECOND, status="refused", spans=spans)
    history = History(runs=[PastRun.of(one) for one in (first, second, RunSummary(run_id=THIRD, status="failed"))])
    shown = page(history, "accuracy", "shapes")["spans"]
    assert shown["names"] == ["9", "10"], "in the order of spans"
    assert [(row["outcome"], row["version"], row["values"]) for row in shown["rows"]] == [
        ("refused", None, [(0.625, 0.5), (0.75, 0.25)]),
        ("pushed", 1, [(0.5, None), (None, None)]),
    ]
    assert "On each span" in render(history, "accuracy", "shapes")
    assert "On each span" not in render(History(), "accuracy", "shapes")


def told(history: History) -> list[tuple]:
    return [(event.outcome, event.version) for event in events_of(history)]


def test_runs_and_rollbacks_are_told_in_the_order_of_time(output: Path):
    history = history_of(output, output / "pushed")
    assert told(history) == [("pushed", 1), ("pushed", 2), ("refused", None), ("rolled back", 3)]
    refused, back = events_of(history)[2:]
    assert refused.reasons[0] == "macro_f1 >= 0.5: 0.25 is below 0.5"
    assert (refused.metrics, refused.champion) == ({"macro_f1": 0.25}, {"macro_f1": 0.75})
    assert refused.at == datetime(2026, 1, 3, 12, tzinfo=timezone.utc)
    assert back.reasons == ("to the model of version 1, by ann@host",)
    assert history.served == 3
    assert history.versions[1].metrics == {"macro_f1": 0.75}


def test_what_was_kept_stays_when_folders_go(output: Path, config):
    save_history(config)
    before = history_of(output, output / "pushed")
    shutil.rmtree(output / "runs" / FIRST)
    shutil.rmtree(output / "pushed" / "2")
    assert history_of(output, output / "pushed") == before


def test_what_is_there_goes_before_what_was_kept(output: Path, config):
    save_history(config)
    summary = RunSummary.read(output / "runs" / THIRD)
    summary.model_copy(update={"status": "pushed", "pushed_model": str(output / "pushed/9")}).write(
        output / "runs" / THIRD
    )
    assert ("pushed", 9) in told(history_of(output, output / "pushed"))


def test_a_damaged_summary_hides_no_other_run(output: Path):
    (output / "runs" / SECOND / "summary.json").write_text("{")
    assert [run.run_id for run in history_of(output, output / "pushed").runs] == [FIRST, THIRD]


def test_approvals_and_versions_that_no_run_here_pushed_are_events():
    versions = [
        PastVersion(
            version=1, at="2026-01-01T00:00:00+00:00", approved_by="ann", approved_at="2026-01-02T00:00:00+00:00"
        ),
        PastVersion(version=2, at="2026-01-01T06:00:00+00:00"),
    ]
    assert told(History(versions=versions)) == [("found", 2), ("approved", 1)]


def test_a_run_that_found_its_model_pushed_says_so():
    run = PastRun(run_id=FIRST, status="pushed", pushed_model="/pushed/1")
    again = run.model_copy(update={"run_id": SECOND})
    assert [event.reasons for event in events_of(History(runs=[run, again]))] == [
        (),
        ("pushed before, by an earlier run",),
    ]


def test_decisions_are_told_with_their_reasons_and_numbers(output: Path):
    told_apart = RetrainReason(
        name="frozen features", sentence="They can be told apart.", value=0.75, bound=0.6, decisive=True
    )
    few = RetrainReason(name="new examples", sentence="There are 3 new examples.", value=3, decisive=True)
    warm = RetrainDecision(action="warm", reasons=[told_apart])
    nothing = RetrainDecision(action="nothing to do", reasons=[few])
    trained, idle = "20260104T000000.000000Z", "20260105T000000.000000Z"
    broken = RunSummary(run_id=trained, status="failed", error="It broke.\n  one.png", decision=warm)
    broken.write(output / "runs" / trained)
    RunSummary(run_id=idle, status="nothing_to_do", decision=nothing).write(output / "decisions" / idle)
    events = {event.run_id: event for event in events_of(history_of(output, output / "pushed"))}
    assert (events[trained].outcome, events[trained].reasons) == (
        "failed",
        ("warm: They can be told apart.", "It broke."),
    )
    assert [(one.name, one.value, one.bound) for one in events[trained].drift] == [("frozen features", 0.75, 0.6)]
    assert (events[idle].outcome, events[idle].reasons) == ("nothing to do", ("There are 3 new examples.",))


def test_the_page_draws_metric_and_drift_and_escapes_everything(output: Path):
    evil = "<script>alert(1)</script>"
    drifting = [
        PastRun(
            run_id=f"2026020{day}T000000.000000Z",
            status="refused",
            error=evil,
            checks=[Reason(name="served", value=day / 10, bound=0.5)],
        )
        for day in (1, 2)
    ]
    history = history_of(output, output / "pushed")
    history = history.model_copy(update={"runs": [*history.runs, *drifting]})
    shown = page(history, "macro_f1", evil)
    assert [figure["alt"].split(",")[0] for figure in shown["figures"]] == [
        "Macro F1 of 3 candidates over time",
        "Train beside what was served (AUC) over time",
    ]
    assert [row["outcome"] for row in shown["events"]][-2:] == ["pushed", "pushed"], "the latest is first"
    text = render(history, "macro_f1", evil)
    assert evil not in text
    assert "&lt;script&gt;" in text
    assert "No run has ended here" in render(History(), "accuracy", "empty")


def test_the_command_tells_it_and_needs_no_tensorflow(output: Path, tmp_path: Path):
    arguments = ["history", str(tmp_path / "config.yaml")]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0
    assert "rolled back" in said.output
    assert "macro F1" in said.output, "the metric of the first gate"
    assert (output / "history.html").is_file()
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert [event["outcome"] for event in found["events"]] == ["pushed", "pushed", "refused", "rolled back"]
    code = (
        f"import sys; from typer.testing import CliRunner; from finetune_cli.main import app; "
        f"assert CliRunner().invoke(app, {arguments!r}).exit_code == 0; "
        "assert not {'tensorflow', 'apache_beam', 'ml_metadata'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_run_there_is_nothing_to_tell(config, tmp_path: Path):
    said = CliRunner().invoke(app, ["history", str(tmp_path / "config.yaml")])
    assert said.exit_code == 0
    assert "no run has ended here; nothing is served yet" in said.output
    assert not (tmp_path / "out").exists()

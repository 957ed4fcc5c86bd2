"""Artifacts: what is written is read back, files of the version before still read, and damage is told."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil

import pytest

from finetune import artifacts
from finetune.artifacts.base import Artifact
from finetune.artifacts.findings import Verdict
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.pushed_version import ChampionPointer, PushRecord
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import TrainingHistory
from finetune.errors import RunError

INTERVAL = {"low": 0.4, "high": 0.6, "confidence": 0.95, "method": "Wilson"}
# As the version before wrote them, without a number of the form.
OLD_HISTORY = {
    "phases": [
        {
            "name": "head", "epochs": 2, "seconds": 1.5, "val_loss": 0.5, "val_accuracy": 0.75, "best_epoch": 2,
            "stopped_early": False, "trainable_parameters": 10, "total_parameters": 20, "micro_batches": 4,
            "cached_trunk": True, "unfreeze": "nothing: the head alone trains", "ended_because": "they were over",
            "trunk": {"cut": "pool", "views": "fresh", "train": "off", "val": "memory", "bytes": 8, "reason": "so"},
        }
    ],
    "curves": [
        {
            "phase": "head", "epoch": 1, "loss": math.nan, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.75,
            "learning_rate": 0.001,
        }
    ],
    "backbone": {"name": "SmallCNN", "source": "random", "licence": None, "sha256": None},
    "tracking_run": "",
}  # fmt: skip
OLD_VERDICT = {
    "passed": True, "blessed": True, "report_only": False,
    "gates": [
        {
            "name": "accuracy >= 0.4", "metric": "accuracy", "value": 0.5, "bound": 0.4, "passed": True, "reason": "so",
            "judged": True, "slice": {"label": "a"}, "of_class": None, "examples": 8, "interval": INTERVAL,
            "reference": None, "reference_name": "", "advice": "",
        }
    ],
    "examples": 8,
    "metrics": {"accuracy": {"value": 0.5, "interval": INTERVAL}},
    "baselines": {"majority": {"accuracy": 0.25}},
    "classes": [
        {
            "class": "a", "examples": 8, "precision": {"value": 0.5, "interval": INTERVAL},
            "recall": {"value": 0.5, "interval": INTERVAL}, "f1": {"value": 0.5, "interval": None},
        }
    ],
    "slices": [{"slice": {"label": "a"}, "examples": 8, "accuracy": 0.5, "interval": INTERVAL, "champion": None}],
    "slices_left_out": 0,
    "reliability": {"candidate": [{"low": 0.5, "high": 1, "examples": 8, "confidence": 0.9, "accuracy": 0.5}]},
}  # fmt: skip


def kinds() -> list[type[Artifact]]:
    """Every artifact that the package has."""
    found = pkgutil.iter_modules(artifacts.__path__, f"{artifacts.__name__}.")
    modules = [importlib.import_module(module.name) for module in found]
    members = {member for module in modules for member in vars(module).values() if isinstance(member, type)}
    return sorted((kind for kind in members if issubclass(kind, Artifact) and hasattr(kind, "FILE")), key=str)


def test_every_artifact_has_a_file_of_its_own_and_a_version():
    names = [kind.FILE for kind in kinds()]
    assert len(set(names)) == len(names) >= 9
    assert all(kind.current_version() >= 1 for kind in kinds())


def test_what_is_written_is_read_back(tmp_path):
    summary = RunSummary(run_id="1", status="pushed", metrics={"loss": math.inf}, splits={"träin": 3})
    path = summary.write(tmp_path / "new" / "folder")
    assert path.name == "summary.json"
    assert RunSummary.read(path.parent) == summary
    assert json.loads(path.read_text())["schema_version"] == 1


def test_a_history_of_the_version_before_reads(tmp_path):
    (tmp_path / "history.json").write_text(json.dumps(OLD_HISTORY))
    history = TrainingHistory.read(tmp_path)
    (phase,) = history.phases
    assert (phase.gradient_accumulation_steps, phase.frozen_features.val, phase.cached_trunk) == (4, "memory", True)
    assert math.isnan(history.curves[0].loss)
    assert history.backbone.name == "SmallCNN"


def test_a_verdict_of_the_version_before_reads_and_is_written_in_the_new_form(tmp_path):
    (tmp_path / "verdict.json").write_text(json.dumps(OLD_VERDICT))
    verdict = Verdict.read(tmp_path)
    (found,) = verdict.classes
    assert (found.name, found.examples, found.metrics["recall"].value) == ("a", 8, 0.5)
    assert found.metrics["f1"].interval is None
    assert verdict.gates[0].interval.low == 0.4
    verdict.write(tmp_path)
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert written["schema_version"] == 2
    assert written["classes"][0]["class"] == "a"
    assert Verdict.read(tmp_path).classes == verdict.classes


def test_a_push_record_of_the_version_before_reads(tmp_path):
    old = {"pipeline": "p", "model_uri": "u", "model_sha256": "s", "at": "2026-01-01T00:00:00+00:00"}
    (tmp_path / "push.json").write_text(json.dumps(old))
    record = PushRecord.read(tmp_path)
    assert (record.model_uri, record.judged_against, record.approved_by) == ("u", None, "")
    (tmp_path / "champion.json").write_text(json.dumps({**old, "version": 3}))
    assert ChampionPointer.read(tmp_path).version == 3


def test_the_report_of_a_failed_run_of_the_version_before_reads(tmp_path):
    summary = {
        "schema_version": 1, "run_id": "1", "name": "p", "status": "failed", "error": "boom", "pushed_model": None,
        "served_instead": None, "pending_model": None, "metrics": {}, "champion_metrics": None, "baselines": {},
        "gates": [], "report_only": False, "serving": {"metrics": {}, "champion_metrics": None}, "phases": [],
        "mlflow_run": None, "components": [{"id": "A", "seconds": 0.5, "state": "failed"}], "splits": {},
        "modality": "image", "backbone": {"name": "SmallCNN", "source": "random", "licence": None, "sha256": None},
        "output_dir": "o", "report": "r", "log_file": "l", "seconds": 1.5,
    }  # fmt: skip
    nothing = {"curves": [], "classes": [], "confusion": [], "per_class": [], "samples": []}
    empty = {"evaluation": {}, "latency_ms": {}, "ingest": {}, "config_yaml": "", "versions": {}}
    (tmp_path / "report.json").write_text(json.dumps({"title": "p", "summary": summary, **nothing, **empty}))
    data = ReportData.read(tmp_path)
    assert data.ingest is None
    added = dict.fromkeys(
        [
            "approval",
            "search",
            "tuning",
            "refit",
            "calibration",
            "averaging",
            "reuse",
            "drifted",
            "ranking",
            "start",
            "source_task",
        ]
    )
    serving = {**summary["serving"], "teacher_metrics": None}
    assert data.summary.plain() == {
        **summary,
        **added,
        "decision": None,
        "data_checks": [],
        "left_out": {},
        "spans": [],
        "serving": serving,
    }


def test_the_summary_keeps_the_names_of_the_contract():
    contract = {
        "schema_version", "run_id", "status", "pushed_model", "metrics", "baselines", "gates", "phases", "components",
        "splits", "backbone", "output_dir", "seconds", "decision",
    }  # fmt: skip
    assert contract <= set(RunSummary.model_fields)
    rows = {
        "phases": "name epochs seconds trainable_parameters total_parameters val_loss val_accuracy cached_trunk",
        "gates": "name value bound passed reason",
        "components": "id seconds state",
    }
    for field, names in rows.items():
        (row,) = RunSummary.model_fields[field].annotation.__args__
        assert set(names.split()) <= set(row.__annotations__), field


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"summary\.json: cannot be read as JSON"),
        ("\xff", r"summary\.json: cannot be read as JSON"),
        ("[" * 100_000, r"summary\.json: cannot be read as JSON"),
        ("[]", r"summary\.json: content: "),
        (
            '{"run_id": "1", "status": "perhaps"}',
            r"summary\.json: status: .*reads form 1 and those before",
        ),
        ('{"run_id": "1", "status": "pushed", "gates": [{"name": 3}]}', r"summary\.json: gates\.0\.name: "),
    ],
)
def test_damage_is_told_with_file_and_place(tmp_path, text, message):
    (tmp_path / "summary.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=message):
        RunSummary.read(tmp_path)
    with pytest.raises(RunError, match=message):
        RunSummary.find(tmp_path)


def test_what_is_missing_is_an_error_or_none(tmp_path):
    with pytest.raises(RunError, match=r"ingest_report\.json: missing"):
        IngestReport.read(tmp_path)
    assert IngestReport.find(tmp_path) is None
    assert IngestReport.find(None) is None


def test_fields_of_a_later_version_are_dropped(tmp_path):
    gate = {"name": "a", "metric": "loss", "value": 1, "bound": 2, "passed": True, "reason": "so", "later": 1}
    later = {"run_id": "1", "status": "pushed", "schema_version": 9, "later": [], "gates": [gate]}
    (tmp_path / "summary.json").write_text(json.dumps(later))
    assert RunSummary.read(tmp_path).gates[0].bound == 2

"""A run cleans up at its end, and the one after it finds in the cache what is left, and makes anew what is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.artifacts.history import History
from finetune.config import Config
from pipeline.clean.remove import planned

pytest.importorskip("tfx")

pytestmark = pytest.mark.long

DATA_NODES = ["ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"]


def ran(summary: dict) -> list[str]:
    assert summary["error"] is None
    return [component["id"] for component in summary["components"] if component["state"] == "ran"]


def models(summary: dict) -> list[str]:
    return sorted(path.name for path in Path(summary["output_dir"], "artifacts/Trainer/model").iterdir())


def test_a_run_after_a_clean_makes_anew_what_is_gone_and_nothing_else(runner, raw_config, tmp_path):
    raw = {**raw_config, "output_dir": str(tmp_path), "keep": {"runs": 1}}
    raw["training"] = {**raw["training"], "phases": [{"name": "head", "epochs": 1, "learning_rate": 1e-2}]}
    raw["evaluation"] = {"gates": [{"metric": "accuracy", "min": 0.0}]}
    first = runner.run("training.seed=1", raw=raw)
    refused = runner.run("training.seed=2", "evaluation.gates[0].min=1.1", raw=raw)
    assert (first["status"], refused["status"]) == ("pushed", "refused")
    assert len(models(refused)) == 2

    second = runner.run("training.seed=3", raw=raw)
    assert second["status"] == "pushed"
    assert len(models(second)) == 2, "those of the two versions"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [first["run_id"], second["run_id"]]
    assert [run.run_id for run in History.read(tmp_path).runs] == [run["run_id"] for run in (first, refused, second)]

    again = runner.run("training.seed=2", "evaluation.gates[0].min=1.1", raw=raw)
    assert ran(again)[0] == "Trainer"
    assert not set(DATA_NODES) & set(ran(again))
    assert again["metrics"] == refused["metrics"], "the same seed on the same data"
    # What the versions rest on is there: the model of the newest is found, and judged by another bound.
    judged = runner.run("training.seed=3", "evaluation.gates[0].min=0.01", raw=raw)
    assert ran(judged) == ["Evaluator", "GateKeeper", "Pusher"]
    assert planned(Config.model_validate(raw)).removals == [], "each run has cleaned up at its end"

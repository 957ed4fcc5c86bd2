"""A run that searches before it trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tfx")


from finetune.artifacts.run_basis import RunBasis
from finetune.artifacts.tuning import Tuning
from finetune.config import load_config
from finetune.events import Note, subscribe
from pipeline.local import tune
from pipeline.plan import node_ids

pytestmark = pytest.mark.by_test

RATE = "training.phases[0].learning_rate"
# Rates at which nothing is learned, beside those at which something is: what is best differs from the config.
SPACE = {RATE: {"min": 1e-7, "max": 3e-2, "log": True}, "training.phases[1].learning_rate": [3e-3, 1e-2]}


@pytest.fixture(scope="module")
def searched(runner, tmp_path_factory):
    """A run with a search, and the overrides that make it."""
    overrides = (
        f"output_dir={tmp_path_factory.mktemp('searched')}",
        f"tracking.mlflow.uri=file://{tmp_path_factory.mktemp('tracked')}",
        "training.phases[1].learning_rate=1e-7",
        f"tuning={json.dumps({'space': SPACE, 'trials': 4})}",
    )
    return runner.run(*overrides), overrides


def of_node(summary: dict, kind: str, name: str) -> Path:
    (found,) = Path(summary["output_dir"]).glob(f"artifacts/{kind}/*/{name}")
    return found


def test_the_trainer_takes_the_best_values(searched, runner):
    summary, overrides = searched
    assert summary["error"] is None
    states = {component["id"]: component["state"] for component in summary["components"]}
    assert (states["Tuner"], states["Trainer"]) == ("ran", "ran")
    assert list(states) == node_ids(load_config(runner._folder / "config.yaml", overrides))
    found = Tuning.model_validate(summary["tuning"])
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    assert found.best != 0, "the config as it is learns nothing in its second phase"
    best = found.best_trial
    history = json.loads(of_node(summary, "Trainer/model_run", "history.json").read_text())
    rates = {point["phase"]: point["learning_rate"] for point in history["curves"]}
    assert rates["head"] == pytest.approx(best.values[RATE])
    assert rates["tune"] == pytest.approx(best.values["training.phases[1].learning_rate"])
    # A trial is the Trainer's run with its values.
    assert min(point["val_loss"] for point in history["curves"]) == pytest.approx(best.score, rel=2e-3)


@pytest.mark.long
def test_processes_side_by_side_find_what_one_does(searched, runner, tmp_path):
    summary, overrides = searched
    tuning = f"tuning={json.dumps({'space': SPACE, 'trials': 4, 'parallel': 3})}"
    told = []
    with subscribe(told.append):
        found = tune(
            load_config(runner._folder / "config.yaml", (f"output_dir={tmp_path}", *overrides[2:3], tuning))
        ).tuning
    alone = Tuning.model_validate(summary["tuning"])
    assert [trial.values for trial in found.trials] == [trial.values for trial in alone.trials]
    whole = [(one, two) for one, two in zip(found.trials, alone.trials, strict=True) if two.state == "done"]
    assert len(whole) >= 3
    assert [one.score for one, _ in whole] == pytest.approx([two.score for _, two in whole], rel=1e-5)
    notes = [each.text for each in told if isinstance(each, Note)]
    assert any("3 processes train trials side by side" in text for text in notes)
    assert not [text for text in notes if "failed" in text]
    assert not list(tmp_path.glob("**/claims")), "the folder of a search that is over is gone"


def test_mlflow_has_the_trials_within_the_run_of_the_search(searched):
    mlflow = pytest.importorskip("mlflow")
    summary, overrides = searched
    client = mlflow.MlflowClient(overrides[1].partition("=")[2])
    (experiment,) = (each for each in client.search_experiments() if each.name == "finetune")
    runs = client.search_runs([experiment.experiment_id])
    (search,) = (run for run in runs if run.info.run_name == "Tuner")
    nested = {run.info.run_name: run for run in runs if run.data.tags.get("mlflow.parentRunId") == search.info.run_id}
    found = Tuning.model_validate(summary["tuning"])
    assert nested.keys() == {f"trial {trial.number}" for trial in found.trials}
    for trial in found.trials:
        of_trial = nested[f"trial {trial.number}"]
        assert of_trial.info.status == "FINISHED"
        assert of_trial.data.metrics["final/loss"] == pytest.approx(trial.score)
        assert len(of_trial.data.params) == len(trial.values)


def test_its_artifacts_are_those_of_tfx(searched):
    summary, _ = searched
    best = json.loads(of_node(summary, "Tuner/best_hyperparameters", "best_hyperparameters.txt").read_text())
    assert {each["config"]["name"] for each in best["space"]} == set(SPACE)
    assert set(best["values"]) == set(SPACE)
    rows = json.loads(of_node(summary, "Tuner/tuner_results", "tuner_results.json").read_text())
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    assert "Tuning" in Path(summary["report"]).read_text()


def test_the_same_again_is_taken_from_the_cache_and_the_search_alone_too(searched, runner):
    summary, overrides = searched
    RunBasis.path(Path(summary["report"]).parent).unlink(missing_ok=True)
    again = runner.run(*overrides)
    assert {component["state"] for component in again["components"]} <= {"cached", "skipped"}
    alone = tune(load_config(runner._folder / "config.yaml", overrides))
    assert alone.status == "tuned"
    assert alone.components[-1].id == "Tuner"
    assert alone.components[-1].state == "cached"
    assert alone.tuning == Tuning.model_validate(summary["tuning"])

"""A run whose model learns from a pushed one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tfx")

from finetune.artifacts.run_basis import RunBasis
from finetune.errors import ConfigError


@pytest.fixture(scope="module")
def taught(first_run, runner, tmp_path_factory):
    """A run that the model of the shared run teaches, and the overrides that make it."""
    overrides = (
        f"output_dir={tmp_path_factory.mktemp('taught')}",
        f"training.distillation.teacher={first_run['pushed_model']}",
    )
    return runner.run(*overrides), overrides


def test_it_is_taught_and_pushed(taught, runner):
    summary, _ = taught
    assert summary["error"] is None
    assert summary["status"] == "pushed", summary["gates"]
    states = {component["id"]: component["state"] for component in summary["components"]}
    assert states["Teacher"] == "ran"
    artifacts = Path(summary["output_dir"]) / "artifacts"
    assert list(artifacts.glob("Teacher/answers/*/answers.npz"))


def test_only_another_teacher_trains_anew(taught, runner, first_run):
    summary, overrides = taught
    RunBasis.path(Path(summary["report"]).parent).unlink(missing_ok=True)
    again = runner.run(*overrides)
    assert {component["state"] for component in again["components"]} <= {"cached", "skipped"}
    warmer = runner.run(*overrides, "training.distillation.temperature=2")
    states = {component["id"]: component["state"] for component in warmer["components"]}
    assert (states["Teacher"], states["Trainer"]) == ("cached", "ran")
    assert json.dumps(warmer["phases"]) != json.dumps(summary["phases"])


def test_a_folder_without_a_model_is_told_before_anything_runs(runner, first_run):
    from finetune.config import load_config
    from pipeline.checks import LOCAL_CHECKS

    versions = Path(first_run["pushed_model"]).parent
    with pytest.raises(ConfigError) as refused:
        load_config(runner._folder / "config.yaml", [f"training.distillation.teacher={versions}"], checks=LOCAL_CHECKS)
    assert "training.distillation.teacher: got" in str(refused.value)
    assert f"Did you mean {first_run['pushed_model']!r}?" in str(refused.value)


def test_the_champion_teaches_the_next_model_and_the_same_again_is_taken_from_the_cache(first_run, runner, tmp_path):
    pushed = tmp_path / "pushed"
    shutil.copytree(Path(first_run["pushed_model"]).parent, pushed)
    overrides = (f"push.directory={pushed}", "training.seed=2", "training.distillation.teacher=champion")
    summary = runner.run(*overrides)
    assert summary["status"] == "pushed", summary["error"] or summary["gates"]
    RunBasis.path(Path(summary["report"]).parent).unlink(missing_ok=True)
    states = {component["id"]: component["state"] for component in runner.run(*overrides)["components"]}
    # There is a new champion, which was taught on these examples: by the one that teaches again.
    assert states == dict.fromkeys(states, "cached")


def test_without_a_champion_nobody_teaches(runner, tmp_path):
    overrides = (f"push.directory={tmp_path / 'empty'}", "training.seed=3", "training.distillation.teacher=champion")
    assert "no model of this pipeline is pushed yet" in runner.run(*overrides)["error"]

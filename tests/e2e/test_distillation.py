"""A run whose model learns from a pushed one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tfx")


from conftest import draw

from finetune.artifacts.run_basis import RunBasis
from finetune.errors import ConfigError
from finetune.events import Note
from trainer_module.distillation.answers import UNLABELLED_FILE, Answers

pytestmark = pytest.mark.by_test


@pytest.fixture(scope="module")
def unlabelled(images, tmp_path_factory) -> Path:
    """Five new pictures, one of the test split, and a file that is none."""
    folder = tmp_path_factory.mktemp("unlabelled")
    for number in range(5):
        draw("ring", 9000 + number).save(folder / f"{number}.png")
    shutil.copy(images / "test" / "disc" / "000.png", folder / "of_test.png")
    (folder / "readme.md").write_text("pictures of a camera")
    return folder


@pytest.fixture(scope="module")
def taught(first_run, runner, unlabelled, tmp_path_factory):
    """A run that the model of the shared run teaches, and the overrides that make it."""
    overrides = (
        f"output_dir={tmp_path_factory.mktemp('taught')}",
        f"training.distillation.teacher={first_run['pushed_model']}",
        f"training.distillation.unlabelled={unlabelled}",
        "evaluation.baselines=[majority, teacher]",
        "evaluation.gates=[{metric: accuracy, min: -0.9, relative_to: teacher}, "
        "{metric: size_mb, max: 1.5, relative_to: teacher, compare: ratio}]",
    )
    summary = runner.run(*overrides)
    return {**summary, "_notes": [event.text for event in runner.events if isinstance(event, Note)]}, overrides


def test_it_is_taught_pushed_and_judged_beside_its_teacher(taught, first_run, unlabelled):
    summary, _ = taught
    assert summary["error"] is None
    assert summary["status"] == "pushed", summary["gates"]
    states = {component["id"]: component["state"] for component in summary["components"]}
    assert states["Teacher"] == "ran"
    assert set(summary["baselines"]) == {"majority", "teacher"}
    assert summary["baselines"]["teacher"]["accuracy"] == pytest.approx(first_run["metrics"]["accuracy"])
    teacher = summary["serving"]["teacher_metrics"]
    assert teacher["size_mb"] == pytest.approx(first_run["serving"]["metrics"]["size_mb"], rel=0.05)
    judged = {gate["name"]: gate["judged"] for gate in summary["gates"]}
    assert judged["accuracy - teacher >= -0.9"]
    assert judged["size_mb / teacher <= 1.5"]
    assert "teacher" in Path(summary["report"]).read_text()
    assert any(f"5 pictures without labels in {unlabelled}; left out: 1 known" in note for note in summary["_notes"])
    (folder,) = (Path(summary["output_dir"]) / "artifacts").glob("Teacher/answers/*")
    assert len(Answers.read(folder).keys) == 36 + 18 + 5
    assert (folder / UNLABELLED_FILE).is_file()


@pytest.mark.long
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


@pytest.mark.long
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

"""A task: its environment, its attempts, its exit code, and what its log says at the end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_components
from command_line import ROOT

from finetune.config.kubernetes import Retries
from finetune_kubeflow.environment import KERAS_ENV, RETRIES_ENV
from finetune_kubeflow.package.packed import pack
from finetune_kubeflow.replay.run import states_in
from finetune_kubeflow.task import process, run_nodes
from finetune_kubeflow.task.attempts import MAY_PASS
from finetune_kubeflow.task.log import logs_to_stderr
from pipeline.metadata_connection import METADATA_ENV


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the two small nodes once, as a task does, and returns the exit code and a file with the log."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)
    for name in METADATA_ENV:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("FINETUNE_MLMD_DATABASE", str(tmp_path / "metadata.sqlite"))
    monkeypatch.setenv("FINETUNE_ROOT", str(tmp_path / "volume"))

    def run(*arguments: str) -> tuple[int, Path]:
        packed = pack(small_components.compiled(obstacle=str(tmp_path / "obstacle")))
        options = process.parser("task", None).parse_args(["--run-id", "one", "--nodes", packed, *arguments])
        with logs_to_stderr():
            code = process.attempt(options, run_nodes.run)
        log = tmp_path / "log"
        log.write_text(capsys.readouterr().err)
        return code, log

    yield run
    root.handlers[:], root.level = before


def test_a_failure_names_its_node_and_a_retry_runs_that_node_alone(task, tmp_path: Path):
    (tmp_path / "obstacle").touch()
    code, log = task()
    assert (code, states_in(log)) == (MAY_PASS, {"Write": "ran", "Measure": "failed"})
    assert "Measure: ValueError: cannot measure\nThe traceback is above.\n" in log.read_text()
    assert "Traceback" in log.read_text()
    (tmp_path / "obstacle").unlink()
    code, log = task()
    assert (code, states_in(log)) == (0, {"Write": "cached", "Measure": "ran"})
    assert [file.read_text() for file in (tmp_path / "volume").rglob("length/*/length")] == ["3 letters"]


@pytest.mark.parametrize(("given", "seen"), [(None, "1"), ("", None), ("0", "0")])
def test_keras_is_what_a_pipeline_that_is_not_ours_has_elsewhere(
    given: str | None, seen: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(KERAS_ENV, "1")
    found: list[str | None] = []
    monkeypatch.setattr(run_nodes, "run_task", lambda *_: found.append(os.environ.get(KERAS_ENV)) or 0)
    assert run_nodes.main(["--run-id", "one", *([] if given is None else ["--keras", given])]) == 0
    assert found == [seen]


def test_a_task_tries_again_and_writes_nothing_that_others_may_change(task, tmp_path: Path):
    """As a process of its own, started with umask 0, as Argo's executor does."""
    obstacle, log = tmp_path / "obstacle", tmp_path / "log"
    obstacle.touch()
    packed = pack(small_components.compiled(obstacle=str(obstacle)))
    command = [sys.executable, "-m", "finetune_kubeflow.task.run_nodes", "--run-id", "one", "--nodes", packed]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "kubeflow", ROOT / "tests")))
    retries = Retries(count=1, backoff_seconds=1).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": path, RETRIES_ENV: retries}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stderr=output, umask=0)
        while process.poll() is None and "the next begins in 1 s" not in log.read_text():
            time.sleep(0.05)
        obstacle.unlink()
        assert process.wait(120) == 0, log.read_text()
    assert states_in(log) == {"Write": "ran", "Measure": "ran"}
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in (tmp_path / "volume").rglob("*")}
    assert modes == {(True, 0o755), (False, 0o644)}


def test_a_store_that_cannot_be_opened_is_one_sentence(task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINETUNE_MLMD_DATABASE", str(tmp_path / "nowhere" / "metadata.sqlite"))
    monkeypatch.setattr("pipeline.run_metadata._ATTEMPTS", 1)
    code, log = task()
    assert (code, states_in(log)) == (MAY_PASS, {})
    assert "the metadata store there cannot be reached" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_value_that_is_no_json_is_a_mistake_of_the_user(task):
    code, log = task("--value", "training.seed", "one")
    assert (code, states_in(log)) == (2, {})
    assert "training.seed: got 'one'; expected JSON" in log.read_text()

"""Two workers train the digits on the real Job controller, through what a cluster does to them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane, wait_for
from played_run import PATIENCE_SECONDS, PlayedRun, compile_package, epochs, text

OVERRIDES = (
    "distribution.workers=2",
    "evaluation.baselines=[majority]",
    "training.phases[0]={name: head, unfreeze: none, epochs: 2, learning_rate: 1.0e-2, early_stopping: null}",
    "training.phases[1].epochs=240",
    "training.phases[1].early_stopping=null",
    "kubernetes.defaults.retries={count: 3, backoff_seconds: 0}",
)
OUTAGE_SECONDS = 120.0
DATA, TRAINER = "image-example-gen-to-data-gate", "trainer"


@pytest.fixture(scope="module")
def prepared(control_plane: ControlPlane, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose next task is to train."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copytree(digits, folder / "volume")
    compile_package(folder, ROOT / "configs" / "digits.yaml", OVERRIDES)
    with PlayedRun(control_plane, folder) as run:
        data = run.start(DATA)
        assert run.end(data) == 0, text(data)
    shutil.rmtree(folder / "pods")
    return folder


def begun(control_plane: ControlPlane, prepared: Path, folder: Path) -> PlayedRun:
    """A run of its own, with the data prepared."""
    shutil.copytree(prepared, folder)
    return PlayedRun(control_plane, folder)


@pytest.fixture(scope="module")
def undisturbed(
    control_plane: ControlPlane, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The weights of a training that nothing happened to."""
    with begun(control_plane, prepared, tmp_path_factory.mktemp("undisturbed") / "run") as run:
        task = run.start(TRAINER)
        assert run.end(task) == 0, text(task)
        assert [len(run.workers(index)) for index in (0, 1)] == [1, 1]
        return run.weights()


def test_a_training_goes_on_through_a_kill_a_drain_and_an_outage(
    control_plane: ControlPlane, prepared: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    with begun(control_plane, prepared, tmp_path / "run") as run:
        task = run.start(TRAINER)
        run.train(task, attempt=1)
        run.workers(1)[-1].process.kill()
        run.train(task, attempt=2)
        run.evict(run.workers(0)[-1])
        run.train(task, attempt=3)
        (chief,) = run.workers(0)[2:]
        with control_plane.without_api_server():
            before = epochs(chief)
            time.sleep(OUTAGE_SECONDS)
            during = epochs(chief) - before
        assert run.end(task) == 0, text(task)
        assert during > 0
        # The one that was killed, and the chief that waited for it; those that were drained are none.
        assert re.findall(r"(\d+) pods have failed", text(task))[-1] == "2"
        assert [[pod.exit_code for pod in run.workers(index)] for index in (0, 1)] == [[1, 143, 0], [137, 143, 0]]
        assert len(run.jobs()) == 1
        assert run.weights() == undisturbed
        wait_for(lambda: not run.left(), PATIENCE_SECONDS)


def test_workers_are_taken_over_from_a_killed_task_and_begin_anew_where_their_job_was_deleted(
    control_plane: ControlPlane, prepared: Path, undisturbed: dict[str, bytes], tmp_path: Path
):
    with begun(control_plane, prepared, tmp_path / "run") as run:
        first = run.start(TRAINER)
        run.train(first, attempt=1)
        os.killpg(first.process.pid, signal.SIGKILL)
        second = run.start(TRAINER)
        wait_for(lambda: "of an earlier attempt goes on with 2 workers" in text(second), PATIENCE_SECONDS)
        assert len(run.jobs()) == 1
        assert run.workers(0)[-1].process.poll() is None
        done = control_plane.kubectl("-n", NAMESPACE, "delete", "jobs", "--all", "--cascade=background")
        assert done.returncode == 0, done.stderr
        assert run.end(second) == 0, text(second)
        assert "somebody deleted it while it was watched" in text(second)
        assert len(run.jobs()) == 2
        assert run.weights() == undisturbed
        wait_for(lambda: not run.left(), PATIENCE_SECONDS)


@pytest.mark.parametrize("grace", [30, 0], ids=["terminated", "node lost"])
def test_nothing_is_left_of_a_task_whose_pod_is_gone(
    control_plane: ControlPlane, prepared: Path, tmp_path: Path, grace: int
):
    with begun(control_plane, prepared, tmp_path / "run") as run:
        task = run.start(TRAINER)
        run.train(task, attempt=1)
        force = [] if grace else ["--force"]
        done = control_plane.kubectl("-n", NAMESPACE, "delete", "pod", task.name, f"--grace-period={grace}", *force)
        assert done.returncode == 0, done.stderr
        wait_for(lambda: not run.left(), PATIENCE_SECONDS)
        wait_for(lambda: all(run.workers(index)[-1].process.poll() is not None for index in (0, 1)), PATIENCE_SECONDS)
        assert list((run.volume / "runs" / "digits" / "checkpoints").rglob("*.safetensors"))

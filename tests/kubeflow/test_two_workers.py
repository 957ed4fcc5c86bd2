"""Two workers as two processes, with the Job's own environment, on the loopback device: minutes, mostly of imports."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import finetune
from fake_cluster import FakeCluster

from finetune.artifacts.tuning import Tuning
from finetune_kubeflow.replay.run import TaskResult, replay

pytestmark = pytest.mark.long

TRAINING = (
    "training.phases=[{name: head, unfreeze: all, epochs: 30, early_stopping: null, learning_rate: 1.0e-3}]",
    "training.head.dropout=0.0",
)


def run_on(folder: Path, cluster: FakeCluster | None, *overrides: str) -> dict[str, TaskResult]:
    """Compiles and replays the tiny pipeline; a cluster takes its worker Job."""
    package = folder / "package.yaml"
    compiled = finetune("compile", "tiny.yaml", *TRAINING, *overrides, "-o", package, cwd=folder)
    assert compiled.returncode == 0, compiled.stderr
    results = replay(
        package,
        folder / "w",
        volumes={"finetune": folder},
        cluster_environment={"KUBECONFIG": str(cluster.kubeconfig)} if cluster else {},
    )
    assert results[-1].state != "failed", results[-1].log.read_text()[-3000:]
    return {result.name: result for result in results}


def curves(folder: Path) -> list[dict[str, Any]]:
    """The curves of the latest training."""
    histories = folder.glob("runs/tiny/artifacts/Trainer/model_run/*/history.json")
    return json.loads(max(histories, key=lambda path: int(path.parent.name)).read_text())["curves"]


def test_two_workers_reach_what_one_process_reaches_though_the_chief_is_killed(tiny: Path, tmp_path: Path):
    """Both run in one folder: the second takes the data and the Transform graph from the cache."""
    folder = tmp_path / "volume"
    shutil.copytree(tiny, folder)
    run_on(folder, None)
    alone = curves(folder)
    with FakeCluster(tmp_path) as cluster:
        killer = threading.Thread(target=_kill_the_chief, args=(cluster,), daemon=True)
        killer.start()
        results = run_on(folder, cluster, "distribution.workers=2")
        killer.join(5)
        assert not killer.is_alive(), "the chief never trained"
        assert cluster.jobs == {}
        chiefs = [pod["log"].read_text(errors="replace") for pod in cluster.ended if pod["index"] == 0]
        assert len(chiefs) >= 2
        assert "goes on from a checkpoint: phase 1, epoch" in chiefs[-1]
    assert len(results["trainer"].attempts) == 1
    # Sums over two machines are rounded in another order: 3e-8 of the loss when this was written.
    for one, two in zip(alone, curves(folder), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4, abs=1e-6)
        assert two["val_accuracy"] == one["val_accuracy"]
    assert len(list(folder.glob("runs/tiny/artifacts/Trainer/model/*/Format-Serving/saved_model.pb"))) == 2


SEARCH = {"space": {"training.phases[0].learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}}, "trials": 5}


def searches(folder: Path) -> list[Tuning]:
    """What each run has searched, the first one first."""
    found = folder.glob("runs/tiny/artifacts/Tuner/tuner_results/*/tuning.json")
    return [Tuning.read(path.parent) for path in sorted(found, key=lambda path: int(path.parent.name))]


def test_two_pods_search_what_one_process_does_though_one_is_killed(tiny: Path, tmp_path: Path):
    folder = tmp_path / "volume"
    shutil.copytree(tiny, folder)
    run_on(folder, None, f"tuning={json.dumps({**SEARCH, 'early_stop': 'none'})}")
    with FakeCluster(tmp_path) as cluster:
        killer = threading.Thread(target=_kill_the_helper, args=(cluster,), daemon=True)
        killer.start()
        run_on(folder, cluster, f"tuning={json.dumps({**SEARCH, 'parallel': 2})}")
        killer.join(5)
        assert not killer.is_alive(), "the helper never trained"
        logs = [pod["log"].read_text(errors="replace") for pod in cluster.ended]
        assert len({pod["index"] for pod in cluster.ended}) == 2
        assert any("trial" in log for log in logs)
    alone, together = searches(folder)
    assert [trial.values for trial in together.trials] == [trial.values for trial in alone.trials]
    assert [trial.score for trial in together.trials] == pytest.approx(
        [trial.score for trial in alone.trials], rel=1e-4
    )
    assert together.best == alone.best


def _kill_the_helper(cluster: FakeCluster) -> None:
    """Kills worker 1 once it trains a trial."""
    while True:
        for pod in list(cluster.pods):
            if pod["index"] == 1 and '"trial": "trial' in pod["log"].read_text(errors="replace"):
                os.kill(pod["process"].pid, 9)
                return
        time.sleep(0.05)


def _kill_the_chief(cluster: FakeCluster) -> None:
    """Kills worker 0 once it has finished a few epochs."""
    while True:
        for pod in list(cluster.pods):
            if pod["index"] == 0 and pod["log"].read_text(errors="replace").count('"kind": "epoch"') >= 3:
                os.kill(pod["process"].pid, 9)
                return
        time.sleep(0.05)

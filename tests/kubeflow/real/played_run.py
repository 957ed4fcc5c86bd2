"""The run of a package on a real control plane, with its pods played."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line import ROOT, finetune
from control_plane import NAMESPACE, ControlPlane, wait_for
from kubernetes import client
from pod_player import MAIN, Played, PodPlayer

from finetune_kubeflow.environment import POD_FIELDS
from finetune_kubeflow.package.read import read_package
from finetune_kubeflow.replay.tasks import Task, resolve_tasks

RIGHTS = ROOT / "kubeflow" / "manifests" / "base" / "rbac.yaml"
ACCOUNT = "finetune-runner"
JOB_UID = "batch.kubernetes.io/controller-uid"
INDEX = "batch.kubernetes.io/job-completion-index"
# What a namespace that enforces the restricted standard asks of every pod, and of every container.
POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_PACKAGE = "package.yaml"
# Two cores train, and import TensorFlow, for all pods; other work may slow them.
PATIENCE_SECONDS = 1200.0


def compile_package(folder: Path, config: Path, overrides: Sequence[str]) -> None:
    """Compiles a config's package into a folder."""
    compiled = finetune("compile", config, *overrides, "-o", folder / _PACKAGE, cwd=folder)
    assert compiled.returncode == 0, compiled.stderr


def tasks_in(folder: Path) -> dict[str, Task]:
    """The tasks of a folder's package by name, in an order in which they can run; its `volume` is their claim."""
    claims, metadata = {"finetune": folder / "volume"}, folder / "metadata.sqlite"
    found = resolve_tasks(read_package(folder / _PACKAGE), {}, "run", claims, metadata)
    return {task.name: task for task in found}


class PlayedRun:
    """Use as a context manager.

    Attributes:
        volume: The folder that stands in for the shared volume.
        tasks: Of the package, by name, in an order in which they can run.
    """

    def __init__(self, plane: ControlPlane, folder: Path):
        """Args:
        plane: With the namespace of runs.
        folder: From `compile_package`, with `volume`, and the metadata of what has run beside it.
        """
        self.plane, self.volume, self._outputs = plane, folder / "volume", folder / "outputs"
        self.tasks = tasks_in(folder)
        (folder / "pods").mkdir()
        self.player = PodPlayer(plane, folder / "pods")
        self._core = client.CoreV1Api(plane.api())

    def __enter__(self) -> PlayedRun:
        done = self.plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "--force-conflicts", "-f", RIGHTS)
        assert done.returncode == 0, done.stderr
        self.player.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.player.__exit__()

    def start(self, task: str) -> Played:
        """Starts a pod of a task."""
        name = f"{task}-{len(self.player.pods)}"
        self._core.create_namespaced_pod(NAMESPACE, pod_of(self.tasks[task], name, self._outputs))
        return wait_for(lambda: next((pod for pod in self.player.started() if pod.name == name), None), 30)

    def end(self, pod: Played) -> int:
        """Waits for the end of a pod, and returns its exit code."""
        wait_for(lambda: pod.exit_code is not None, PATIENCE_SECONDS)
        return int(pod.exit_code or 0)

    def workers(self, index: int) -> list[Played]:
        """All pods that have been this worker, in their order."""
        return [pod for pod in self.player.started() if pod.labels.get(INDEX) == str(index)]

    def jobs(self) -> set[str]:
        """The uids of the Jobs whose pods have been played."""
        return {pod.labels[JOB_UID] for pod in self.player.started() if JOB_UID in pod.labels}

    def train(self, task: Played, attempt: int) -> None:
        """Waits until the chief of an attempt, from 1, has trained three epochs."""

        def trained() -> bool:
            assert task.exit_code is None, text(task)
            chiefs = self.workers(0)
            return len(chiefs) >= attempt and epochs(chiefs[attempt - 1]) >= 3

        wait_for(trained, PATIENCE_SECONDS)

    def evict(self, pod: Played) -> None:
        """Does what a drain of its node does."""
        self._core.create_namespaced_pod_eviction(pod.name, NAMESPACE, {"metadata": {"name": pod.name}})

    def left(self) -> list[str]:
        """What there is of Jobs, their Services and pods."""
        kinds = ("jobs", "services", "pods -l batch.kubernetes.io/job-name")
        done = [self.plane.kubectl("-n", NAMESPACE, "get", *kind.split(), "-o", "name") for kind in kinds]
        return [name for one in done for name in one.stdout.split()]

    def weights(self) -> dict[str, bytes]:
        """The content of the files of the one model that was trained."""
        (model,) = (self.volume / "runs" / "digits" / "artifacts" / "Trainer" / "model").iterdir()
        return {str(file.relative_to(model)): file.read_bytes() for file in model.rglob("variables.*")}


def container_of(task: Task, outputs: Path) -> dict[str, Any]:
    """The container that KFP's driver makes of a task, less its launcher; its outputs go to that folder."""
    shutil.rmtree(outputs / task.name, ignore_errors=True)
    (outputs / task.name).mkdir(parents=True)
    fields = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in POD_FIELDS.items()]
    values = [{"name": name, "value": text} for name, text in task.environment.items() if name not in POD_FIELDS]
    return {
        "name": MAIN,
        "image": "image",
        "command": task.command(outputs),
        "env": [*values, *fields],
        "securityContext": CONTAINER_SECURITY,
    }


def pod_of(task: Task, name: str, outputs: Path) -> dict[str, Any]:
    """A pod of that name that runs a task, as `container_of` says."""
    spec = {
        "restartPolicy": "Never",
        "serviceAccountName": ACCOUNT,
        "securityContext": POD_SECURITY,
        "containers": [container_of(task, outputs)],
    }
    return {"metadata": {"name": name}, "spec": spec}


def text(pod: Played) -> str:
    """The log of a pod."""
    return pod.log.read_text(encoding="utf-8", errors="replace")


def epochs(pod: Played) -> int:
    """How many epochs a pod has trained."""
    return text(pod).count('"kind": "epoch"')

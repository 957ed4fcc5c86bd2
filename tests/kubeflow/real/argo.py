"""Argo's workflow-controller on a control plane, and the workflows that Kubeflow Pipelines makes of packages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from control_plane import NAMESPACE, ControlPlane
from go_programs import built, module_folder
from kubernetes import client
from played_run import ACCOUNT, CONTAINER_SECURITY, POD_SECURITY, container_of

from finetune_kubeflow.replay.tasks import Task

GROUP, VERSION, WORKFLOWS = "argoproj.io", "v1alpha1", "workflows"
CONFIG_MAP = "workflow-controller-configmap"
# KFP's names.
_EXECUTOR, _IMPLEMENTATION = "retry-system-container-executor", "retry-system-container-impl"
_PARAMETERS = (
    "pod-spec-patch",
    "retry-max-count",
    "retry-backoff-duration",
    "retry-backoff-factor",
    "retry-backoff-max-duration",
)


class Argo:
    """Use as a context manager."""

    def __init__(self, plane: ControlPlane, folder: Path, config: Mapping[str, str]):
        """Args:
        plane: With the namespace of runs.
        folder: For the log.
        config: Of the controller, as its ConfigMap holds it.
        """
        self._plane, self._folder, self._config = plane, folder, config
        self._objects = client.CustomObjectsApi(plane.api())
        self._where = (GROUP, VERSION, NAMESPACE, WORKFLOWS)

    def __enter__(self) -> Argo:
        if self._plane.kubectl("get", f"crd/{WORKFLOWS}.{GROUP}").returncode:
            source = module_folder("argo", "github.com/argoproj/argo-workflows/v4")
            known = [f"crd/{WORKFLOWS}.{GROUP}", f"crd/workflowtaskresults.{GROUP}"]
            for command in (
                ["apply", "--server-side", "-k", source / "manifests" / "base" / "crds" / "full"],
                ["wait", "--timeout=300s", "--for=condition=established", *known],
            ):
                done = self._plane.kubectl(*command)
                assert done.returncode == 0, done.stderr
        own = {"metricsConfig": "{enabled: false}", "executor": yaml.safe_dump({"securityContext": CONTAINER_SECURITY})}
        about = {"name": CONFIG_MAP, "namespace": NAMESPACE}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {**own, **self._config}}
        assert self._plane.apply(config_map, "--force-conflicts") == ""
        controller: list[object] = [built("argo") / "workflow-controller", f"--kubeconfig={self._plane.kubeconfig}"]
        controller += [
            f"--namespace={NAMESPACE}",
            "--namespaced",
            "--executor-image=argoexec",
            "--qps=100",
            "--burst=200",
        ]
        with (self._folder / "workflow-controller.log").open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, controller)),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"HOME": str(self._folder), "PATH": os.defpath, "LEADER_ELECTION_DISABLE": "true"},
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()  # It takes no notice of SIGTERM.
        self._process.wait()

    def submit(self, workflow: dict[str, Any]) -> str:
        """Creates a workflow and returns its name."""
        return str(self._objects.create_namespaced_custom_object(*self._where, workflow)["metadata"]["name"])

    def phase(self, name: str) -> str:
        """The phase of a workflow, empty where its controller has not seen it yet."""
        assert self._process.poll() is None, (self._folder / "workflow-controller.log").read_text()[-3000:]
        found = self._objects.get_namespaced_custom_object(*self._where, name)
        return str(found.get("status", {}).get("phase", ""))


def workflow(name: str, tasks: Sequence[Task], outputs: Path) -> dict[str, Any]:
    """The workflow that KFP's compiler makes, from 2.14 on, of a pipeline whose last task runs always.

    What its drivers find out at run time, command and environment of each task, is known here; so there are no drivers.

    Args:
        name: Of the workflow.
        tasks: Of the package.
        outputs: Folder for what they leave.
    """
    exits = [_task(task, outputs) for task in tasks if task.always]
    templates = [
        _dag("entrypoint", [{"name": "root", "template": "root"}]),
        _dag("root", [{"name": "run", "template": "run", "hooks": {"exit": {"template": "exit-hook"}}}]),
        _dag("run", [_task(task, outputs) for task in tasks if not task.always]),
        _dag("exit-hook", exits),
        _executor(),
        _implementation(),
    ]
    spec = {
        "entrypoint": "entrypoint",
        "serviceAccountName": ACCOUNT,
        "securityContext": POD_SECURITY,
        "templates": templates,
    }
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Workflow", "metadata": {"name": name}, "spec": spec}


def _dag(name: str, tasks: list[dict[str, Any]], inputs: Sequence[str] = ()) -> dict[str, Any]:
    return {"name": name, "inputs": {"parameters": [{"name": one} for one in inputs]}, "dag": {"tasks": tasks}}


def _task(task: Task, outputs: Path) -> dict[str, Any]:
    """A task of the DAG; an exit task, which comes after a whole DAG, waits for none in its own."""
    patch = json.dumps({"containers": [container_of(task, outputs)]})
    values = (patch, str(task.retries), f"{task.backoff:g}", f"{task.factor:g}", f"{task.window:g}")
    after = [] if task.always else task.after
    return {
        "name": task.name,
        "template": _EXECUTOR,
        "depends": " && ".join(f"{name}.Succeeded" for name in after),
        "arguments": _arguments(values),
    }


def _executor() -> dict[str, Any]:
    inner = {"name": "executor", "template": _IMPLEMENTATION}
    return _dag(_EXECUTOR, [{**inner, "arguments": _arguments(map(_input, _PARAMETERS))}], _PARAMETERS)


def _implementation() -> dict[str, Any]:
    patch, limit, duration, factor, longest = map(_input, _PARAMETERS)
    return {
        "name": _IMPLEMENTATION,
        "inputs": {"parameters": [{"name": one} for one in _PARAMETERS]},
        "podSpecPatch": patch,
        "retryStrategy": {
            "limit": limit,
            "backoff": {"duration": duration, "factor": factor, "maxDuration": longest},
        },
        "container": {"image": "overridden", "command": ["overridden"]},
    }


def _arguments(values: Iterable[str]) -> dict[str, Any]:
    pairs = zip(_PARAMETERS, values, strict=True)
    return {"parameters": [{"name": name, "value": value} for name, value in pairs]}


def _input(name: str) -> str:
    return f"{{{{inputs.parameters.{name}}}}}"

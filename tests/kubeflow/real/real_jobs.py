"""Jobs of workers for a real API server."""

from __future__ import annotations

import itertools
import textwrap
from typing import Any

from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane
from kubernetes import client

from finetune.config import load_config
from finetune_kubeflow.workers import manifests

_numbers = itertools.count()


def worker_job(control_plane: ControlPlane, code: str, **spec: Any) -> dict[str, Any]:
    """A Job of two workers that run `code`, owned by a pod that is there; each has a name of its own."""
    config = load_config(ROOT / "configs" / "digits.yaml", ["distribution.workers=2"])
    name = f"train-{next(_numbers)}"
    made = manifests.named_job(manifests.job(config, "Trainer"), name, owner(control_plane), "/finetune", "/finetune/i")
    made["spec"] |= spec
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["command"], container["args"] = ["python", "-c", textwrap.dedent(code)], []
    return made


def owner(control_plane: ControlPlane) -> dict[str, str]:
    """A pod that owns Jobs, and does nothing; made where it is not there."""
    core = client.CoreV1Api(control_plane.api())
    pod = {
        "metadata": {"name": "task"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "task",
                    "image": "image",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    try:
        made = core.read_namespaced_pod("task", NAMESPACE)
    except client.ApiException:
        made = core.create_namespaced_pod(NAMESPACE, pod)
    return {"name": "task", "uid": made.metadata.uid}

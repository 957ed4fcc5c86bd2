"""The worker Job as a TrainJob of Kubeflow Trainer 2, for clusters whose queues and dashboards know those.

A TrainJob names a runtime, whose JobSet makes the Job. Ours brings its own runtime with all that the Job says, because
the ways to change a shared one differ between Trainer's versions (`podTemplateOverrides` before 2.2, `runtimePatches`
since). JobSet makes the headless Service too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
RUNTIMES, TRAIN_JOBS = "trainingruntimes", "trainjobs"
# JobSet names its Jobs <set>-<replicated job>-<number>.
_REPLICATED_JOB = "node"
_SUFFIX = f"-{_REPLICATED_JOB}-0"
_ANCESTOR = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
_KUEUE = "kueue.x-k8s.io/"


def inner_job_name(name: str) -> str:
    """The name of the Job that a TrainJob of this name makes."""
    return name + _SUFFIX


def name_of(job: Mapping[str, Any]) -> str:
    """The name of the TrainJob that a Job belongs to."""
    return str(job["metadata"]["name"]).removesuffix(_SUFFIX)


def manifests(job: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The runtime and the TrainJob in place of a Job.

    Args:
        job: From `manifests.named_job`, named by `inner_job_name`, with the TrainJob's name as its domain.
    """
    name = name_of(job)
    spec = json.loads(json.dumps(job["spec"]))
    del spec["template"]["spec"]["subdomain"], spec["ttlSecondsAfterFinished"]  # JobSet's to say
    # The TrainJob waits in Kueue's queue; its pods must not wait there once more.
    labels = spec["template"]["metadata"]["labels"]
    spec["template"]["metadata"]["labels"] = {key: text for key, text in labels.items() if not key.startswith(_KUEUE)}
    api = {"apiVersion": f"{GROUP}/{VERSION}"}
    owned = {"name": name, "ownerReferences": job["metadata"]["ownerReferences"]}
    runtime = {
        **api,
        "kind": "TrainingRuntime",
        "metadata": owned,
        "spec": {
            "mlPolicy": {"numNodes": spec["completions"]},
            "template": {
                "spec": {
                    "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
                    "replicatedJobs": [
                        {"name": _REPLICATED_JOB, "template": {"metadata": {"labels": _ANCESTOR}, "spec": spec}}
                    ],
                }
            },
        },
    }
    train_job = {
        **api,
        "kind": "TrainJob",
        "metadata": {**job["metadata"], "name": name},
        "spec": {"runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": name}},
    }
    return runtime, train_job

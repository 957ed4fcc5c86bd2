"""Several machines train: the pods of an Indexed Job behind a headless Service. Plain Kubernetes, no operator.

`pod` is what each of them runs; `watch` creates the Job and watches over it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from finetune import termination
from finetune.config import Config
from finetune.config.kubernetes import Claim, KubernetesConfig, Mounted, NodeCondition, Placement, Toleration
from finetune_kubeflow.environment import APART_ENV, FINAL_EXIT_CODE, INVOCATION_ANNOTATION, ROOT_ENV, WORKERS_ENV
from finetune_kubeflow.package.placement import environment, placement, pod_labels

PORT = 2222
CONTAINER = "node"  # as Kubeflow Trainer calls it
EXECUTOR = "finetune_kubeflow.workers.executor.JobExecutor"
# What trains on several machines where `distribution.workers` says so.
DISTRIBUTED = ("Trainer", "ScratchTrainer")
# What tries several trials at a time where `tuning.parallel` says so.
TUNER = "Tuner"
# The task deletes its Job; one that a killed task has left is there for a while to be looked at.
TTL_SECONDS = 3600
# Istio's proxy would outlive the worker beside it, and so the Job; workers need nothing that it gives.
_NO_SIDECAR = {"sidecar.istio.io/inject": "false"}


def _on_exit(action: str, code: int) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [code]}}


# The first that applies counts; what none does is a failure.
_FAILURE_RULES = [
    _on_exit("FailJob", FINAL_EXIT_CODE),
    _on_exit("Ignore", termination.EXIT_CODE),
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
]


def jobs(config: Config, node_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The Job of each node that trains on several machines."""
    return {node: job(config, node) for node in node_ids if workers_of(config, node) > 1}


def workers_of(config: Config, node_id: str) -> int:
    """How many machines train a node."""
    if node_id == TUNER:
        return config.tuning.parallel
    return config.distribution.workers if node_id in DISTRIBUTED else 1


def job(config: Config, node_id: str) -> dict[str, Any]:
    """The Indexed Job that trains a node, but for its name, owner and arguments.

    A pod that fails is replaced under the same index. Where the workers train one network, all others fail with it,
    because they wait for its gradients: each breakdown costs as many failures as there are workers. Those of a search
    go on, and take its trials. A pod that was told to end, and those that end with it, have left a checkpoint and cost
    none. The chief's success is the Job's.
    """
    settings, workers = config.kubernetes, workers_of(config, node_id)
    placed = placement(settings, node_id)
    mounts, volumes = _volumes(settings, placed)
    own_resources = {placed.accelerator.type: str(placed.accelerator.count)} if placed.accelerator else {}
    limits = {"cpu": placed.cpu_limit, "memory": placed.memory_limit, **own_resources}
    storage = {"ephemeral-storage": placed.ephemeral_storage} if placed.ephemeral_storage else {}
    apart = {APART_ENV: "1"} if node_id == TUNER else {}
    container = {
        "name": CONTAINER,
        "image": placed.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", "finetune_kubeflow.workers.pod"],
        "env": [*_variables({**environment(settings, placed), **apart}), *_references(placed)],
        "ports": [{"containerPort": PORT}],
        "resources": {
            "requests": {"cpu": placed.cpu, "memory": placed.memory, **storage},
            "limits": {key: value for key, value in limits.items() if value},
        },
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "serviceAccountName": placed.service_account,
        "automountServiceAccountToken": False,
        "priorityClassName": placed.priority_class,
        "nodeSelector": placed.node_selector,
        "affinity": _affinity(placed),
        "tolerations": [_toleration(one) for one in placed.tolerations],
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "containers": [container],
        "volumes": volumes,
    }
    labels = pod_labels(placed)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": labels, "annotations": placed.annotations},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimit": placed.retries.count * workers,
            "podFailurePolicy": {"rules": _FAILURE_RULES},
            "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
            "ttlSecondsAfterFinished": TTL_SECONDS,
            **({"activeDeadlineSeconds": round(placed.timeout_minutes * 60)} if placed.timeout_minutes else {}),
            "template": {
                "metadata": {"labels": {**_NO_SIDECAR, **labels}, "annotations": placed.annotations},
                "spec": {key: value for key, value in pod.items() if value not in (None, {}, [])},
            },
        },
    }


def named_job(
    template: Mapping[str, Any], name: str, owner: Mapping[str, str], root: str, invocation: str, domain: str = ""
) -> dict[str, Any]:
    """The Job as it is sent.

    Args:
        template: From `job`.
        name: Of the Job.
        owner: `name` and `uid` of the pod that creates it; Kubernetes deletes the Job with that pod.
        root: The shared folder, as the owner sees it.
        invocation: File that says what to train, on the shared volume.
        domain: Name of the headless Service, where it is not the Job's.
    """
    domain = domain or name
    made: dict[str, Any] = json.loads(json.dumps(template))
    pod = made["spec"]["template"]["spec"]
    made["metadata"] |= {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", **owner}]}
    made["metadata"]["annotations"][INVOCATION_ANNOTATION] = invocation
    pod["subdomain"] = domain
    (container,) = pod["containers"]
    container["args"] = [invocation]
    addresses = [f"{name}-{index}.{domain}:{PORT}" for index in range(made["spec"]["completions"])]
    env = {one["name"]: one for one in container["env"]}
    env |= {one["name"]: one for one in _variables({ROOT_ENV: root, WORKERS_ENV: ",".join(addresses)})}
    container["env"] = list(env.values())
    return made


def service(name: str, job_uid: str) -> dict[str, Any]:
    """The headless Service that gives each worker its host name; owned by the Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "selector": {"batch.kubernetes.io/job-name": name},
            # Workers look for each other before any of them can be ready.
            "publishNotReadyAddresses": True,
            "ports": [{"name": "grpc", "port": PORT}],
        },
    }


def _variables(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _references(placed: Placement) -> list[dict[str, Any]]:
    """Environment variables from Secrets and ConfigMaps. Workers never need the metadata store."""
    sources = [("secretKeyRef", placed.secrets), ("configMapKeyRef", placed.config_maps)]
    return [
        {"name": variable, "valueFrom": {kind: {"name": use.name, "key": key}}}
        for kind, uses in sources
        for use in uses
        for key, variable in use.env.items()
    ]


def _volumes(settings: KubernetesConfig, placed: Placement) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The container's mounts, and the pod's volumes."""
    sources: list[tuple[str, dict[str, Any]]] = [_claim(claim) for claim in (settings.volume, *placed.volumes)]
    sources += [_files("secret", "secretName", use) for use in placed.secrets if use.mount_path]
    sources += [_files("configMap", "name", use) for use in placed.config_maps if use.mount_path]
    if placed.shared_memory:
        sources.append(("/dev/shm", {"emptyDir": {"medium": "Memory", "sizeLimit": placed.shared_memory}}))
    if placed.ephemeral_storage:
        sources.append(("/tmp", {"emptyDir": {"sizeLimit": placed.ephemeral_storage}}))
    names = [f"volume-{number}" for number in range(len(sources))]
    mounts = [{"name": name, "mountPath": path} for name, (path, _) in zip(names, sources, strict=True)]
    return mounts, [{"name": name, **source} for name, (_, source) in zip(names, sources, strict=True)]


def _claim(claim: Claim) -> tuple[str, dict[str, Any]]:
    return claim.mount_path, {"persistentVolumeClaim": {"claimName": claim.claim}}


def _files(kind: str, name_key: str, use: Mounted) -> tuple[str, dict[str, Any]]:
    return str(use.mount_path), {kind: {name_key: use.name}}


def _toleration(toleration: Toleration) -> dict[str, Any]:
    fields = {**toleration.model_dump(exclude={"seconds"}), "tolerationSeconds": toleration.seconds}
    return {key: value for key, value in fields.items() if value is not None}


def _affinity(placed: Placement) -> dict[str, Any]:
    def term(condition: NodeCondition) -> dict[str, Any]:
        values = {"values": condition.values} if condition.values else {}
        return {"key": condition.key, "operator": condition.operator, **values}

    required = [term(one) for one in placed.node_affinity if one.weight is None]
    preferred = [
        {"weight": one.weight, "preference": {"matchExpressions": [term(one)]}}
        for one in placed.node_affinity
        if one.weight is not None
    ]
    node: dict[str, Any] = {}
    if required:
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchExpressions": required}]}
    if preferred:
        node["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": node} if node else {}

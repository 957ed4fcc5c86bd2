"""Where each node runs: plain decisions about `kubernetes:` in the config, and their KFP form."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetune.config.kubernetes import KubernetesConfig, Placement
from finetune.errors import did_you_mean
from finetune_kubeflow.environment import POD_FIELDS, RETRIES_ENV, ROOT_ENV
from finetune_kubeflow.package.pod_checks import pod_problems
from pipeline.metadata_connection import METADATA_ENV

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

# Argo tries again within this time of the first attempt's start alone; KFP's SDK allows an hour at most.
RETRY_WINDOW_SECONDS = 24 * 3600

# KFP's PipelineTask.set_accelerator_limit takes no other.
KFP_ACCELERATOR_COUNTS = (1, 2, 4, 8, 16)


def placement(settings: KubernetesConfig, node_id: str) -> Placement:
    """The placement of a component: what it sets itself, else the default; of the Tuner, else that of the Trainer."""
    components = settings.components
    own = components.get(node_id, components.get("Trainer") if node_id == "Tuner" else None)
    if own is None:
        return settings.defaults
    return settings.defaults.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def task_placement(settings: KubernetesConfig, node_id: str, watches: bool = False) -> Placement:
    """The placement of a node's KFP task.

    One that only watches over the Job that trains gets what the defaults say, with the image, secrets and volumes of
    its workers.
    """
    whole = placement(settings, node_id)
    if not watches:
        return whole
    kept = ("image", "volumes", "secrets", "config_maps", "env", "timeout_minutes", "retries", "labels", "annotations")
    return settings.defaults.model_copy(update={name: getattr(whole, name) for name in kept})


def below_volume(path: str, settings: KubernetesConfig) -> str:
    """A path relative to the folder where the shared volume is mounted; one that is elsewhere stays as it is."""
    mount = settings.volume.mount_path
    return path.removeprefix(mount).lstrip("/") or "." if path == mount or path.startswith(f"{mount}/") else path


def environment(settings: KubernetesConfig, placed: Placement) -> dict[str, str]:
    """The plain environment variables of a pod. Without an accelerator it sees no GPU, whatever the machine has."""
    hidden = {} if placed.accelerator else {"CUDA_VISIBLE_DEVICES": "-1"}
    return {ROOT_ENV: settings.volume.mount_path, **hidden, **placed.env}


def pod_labels(placed: Placement) -> dict[str, str]:
    """The labels of a pod; Kueue reads its queue and priority from two of them."""
    kueue = {
        "kueue.x-k8s.io/queue-name": placed.queue,
        "kueue.x-k8s.io/priority-class": placed.queue_priority,
    }
    return {**placed.labels, **{key: value for key, value in kueue.items() if value}}


def problems(settings: KubernetesConfig, node_ids: Iterable[str], watching: Collection[str] = ()) -> list[str]:
    """What is wrong with the placements, or is more than KFP can express; one sentence each.

    Args:
        settings: Of the package.
        node_ids: All that may be placed.
        watching: The nodes whose tasks only watch over the Jobs that train.
    """
    node_ids = list(node_ids)
    found = [
        f"kubernetes.components.{name}: no such component; expected one of {', '.join(node_ids)}."
        f"{did_you_mean(name, node_ids)}"
        for name in settings.components
        if name not in node_ids
    ]
    for node_id in node_ids:
        key = f"kubernetes.components.{node_id}"
        found += [f"{key}.{problem}" for problem in pod_problems(settings, placement(settings, node_id))]
        placed = task_placement(settings, node_id, node_id in watching)
        found += [f"{key}.{problem}" for problem in _kfp_problems(placed)]
    return found


def _kfp_problems(placed: Placement) -> list[str]:
    found = []
    if placed.priority_class:
        found.append(
            f"priority_class: got {placed.priority_class!r}; a KFP task has none. "
            "With Kueue, set `queue` and `queue_priority`; the workers of a Job (`distribution.workers`) may have one"
        )
    if placed.service_account:
        found.append(
            f"service_account: got {placed.service_account!r}; all tasks of a KFP run share one. "
            "Set kubernetes.service_account"
        )
    if placed.accelerator and placed.accelerator.count not in KFP_ACCELERATOR_COUNTS:
        counts = ", ".join(map(str, KFP_ACCELERATOR_COUNTS))
        found.append(f"accelerator.count: got {placed.accelerator.count}; KFP takes one of {counts}")
    return found


def place(task: PipelineTask, settings: KubernetesConfig, node_ids: Sequence[str], watches: bool = False) -> None:
    """Puts the placement of a node, or of several that share it, onto their KFP task; their time limits add up.

    Args:
        task: Of KFP.
        settings: Of the package.
        node_ids: What it runs.
        watches: Whether it only watches over the Job that trains.
    """
    from kfp import kubernetes

    node_id = node_ids[0]
    placed = task_placement(settings, node_id, watches)
    task.set_cpu_request(placed.cpu).set_memory_request(placed.memory)
    if placed.cpu_limit:
        task.set_cpu_limit(placed.cpu_limit)
    if placed.memory_limit:
        task.set_memory_limit(placed.memory_limit)
    if placed.accelerator:
        task.set_accelerator_type(placed.accelerator.type).set_accelerator_limit(placed.accelerator.count)
    for name, value in environment(settings, placed).items():
        task.set_env_variable(name, value)
    if placed.retries.count:
        # For pods that were lost; a task retries its own failures. The window is `widen_retry_windows`'s to set.
        task.set_retry(placed.retries.count, backoff_duration=f"{placed.retries.backoff_seconds}s", backoff_factor=1.0)
    task.set_env_variable(RETRIES_ENV, placed.retries.model_dump_json())
    if placed.timeout_minutes:
        kubernetes.set_timeout(task, round(placed.timeout_minutes * 60 * len(node_ids)))

    kubernetes.use_secret_as_env(task, settings.metadata_secret, {key: name for name, key in METADATA_ENV.items()})
    for claim in (settings.volume, *placed.volumes):
        kubernetes.mount_pvc(task, pvc_name=claim.claim, mount_path=claim.mount_path)
    for uses, as_env, as_volume in (
        (placed.secrets, kubernetes.use_secret_as_env, kubernetes.use_secret_as_volume),
        (placed.config_maps, kubernetes.use_config_map_as_env, kubernetes.use_config_map_as_volume),
    ):
        for use in uses:
            if use.env:
                as_env(task, use.name, use.env)
            if use.mount_path:
                as_volume(task, use.name, use.mount_path)
    if placed.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=placed.shared_memory)
    if placed.ephemeral_storage:
        kubernetes.empty_dir_mount(task, "temporary", "/tmp", size_limit=placed.ephemeral_storage)

    for key, value in placed.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in placed.tolerations:
        fields = toleration.model_dump(exclude={"seconds"})
        kubernetes.add_toleration(task, **fields, toleration_seconds=toleration.seconds)
    _prefer_nodes(task, placed)
    for key, value in pod_labels(placed).items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in placed.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)
    if watches:
        for name, field in POD_FIELDS.items():
            kubernetes.use_field_path_as_env(task, name, field)
    kubernetes.set_image_pull_policy(task, settings.image_pull_policy)
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, settings.image_pull_secrets)
    task.platform_config["kubernetes"] = without_later_fields(task.platform_config["kubernetes"])


def without_later_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """A KubernetesExecutorConfig as JSON without what later SDKs write out though it is the default.

    Servers of KFP before 2.15 refuse a package with `optional` in `secretAsEnv`, a field that they do not know.
    """
    return {
        field: [
            {key: value for key, value in use.items() if (key, value) != ("optional", False)}
            if isinstance(use, dict)
            else use
            for use in uses
        ]
        if isinstance(uses, list)
        else uses
        for field, uses in config.items()
    }


def widen_retry_windows(pipeline: Any) -> None:
    """Lets no task of a PipelineSpec run out of time for its retries; `set_retry` allows an hour at most."""
    dags = [pipeline.root.dag, *(one.dag for one in pipeline.components.values() if one.HasField("dag"))]
    for task in (task for dag in dags for task in dag.tasks.values()):
        if task.retry_policy.max_retry_count:
            task.retry_policy.backoff_max_duration.seconds = RETRY_WINDOW_SECONDS


def _prefer_nodes(task: PipelineTask, placed: Placement) -> None:
    """Adds node affinity through KFP's message: kfp-kubernetes 1.5 has the field, and no function for it yet."""
    from google.protobuf import json_format
    from kfp.kubernetes import common
    from kfp.kubernetes import kubernetes_executor_config_pb2 as executor_config

    message = common.get_existing_kubernetes_config_as_message(task)
    required = [condition for condition in placed.node_affinity if condition.weight is None]
    terms = [required] if required else []
    terms += [[condition] for condition in placed.node_affinity if condition.weight is not None]
    for conditions in terms:
        message.node_affinity.append(
            executor_config.NodeAffinityTerm(
                match_expressions=[
                    executor_config.SelectorRequirement(key=one.key, operator=one.operator, values=one.values)
                    for one in conditions
                ],
                weight=conditions[0].weight,
            )
        )
    task.platform_config["kubernetes"] = json_format.MessageToDict(message)

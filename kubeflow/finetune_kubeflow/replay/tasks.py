"""The tasks of a package with everything resolved, as KFP's driver and launcher resolve it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import ConfigError
from finetune_kubeflow.environment import METADATA_ENV
from finetune_kubeflow.package.read import Package, pipeline_parameters

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")


@dataclass(frozen=True)
class Task:
    """A task of a package with everything resolved: its command with arguments, and the whole of its environment.

    It waits for those `after` which it comes. The first pause before a retry is `backoff` seconds long, each further
    one `factor` times as long; `window` is counted from the start of the first attempt. `timeout` is in seconds, too.
    """

    name: str
    after: tuple[str, ...]
    command: list[str]
    environment: dict[str, str]
    retries: int = 0
    backoff: float = 0
    factor: float = 1
    window: float = 0
    timeout: float | None = None

    def pause_after(self, attempts: int, elapsed: float) -> float | None:
        """Seconds until the next attempt, as Argo has it; None where there is none.

        Args:
            attempts: How many there were.
            elapsed: Seconds since the first began.
        """
        pause = self.backoff * self.factor ** (attempts - 1)
        return pause if attempts <= self.retries and elapsed + pause <= self.window else None


def resolve_tasks(
    package: Package,
    parameters: Mapping[str, str],
    run_id: str,
    claims: Mapping[str, Path],
    sqlite_file: Path,
    secrets_dir: Path | None = None,
) -> list[Task]:
    """Resolves every task as KFP's driver and launcher do, in an order in which they can run.

    Args:
        package: From `read_package`.
        parameters: Of the pipeline, as texts; the others take their defaults.
        run_id: Stands in for `{{$.pipeline_job_uuid}}`.
        claims: The folder that stands in for each PersistentVolumeClaim.
        sqlite_file: The metadata store when there is no `secrets_dir`.
        secrets_dir: Folder of files `<Secret or ConfigMap>/<key>`.

    Raises:
        ConfigError: With everything that cannot be resolved.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2

    given, problems = pipeline_parameters(package.pipeline, parameters)
    executors = json_format.MessageToDict(package.pipeline.deployment_spec).get("executors", {})
    tasks = []
    for name, task in sorted(package.pipeline.root.dag.tasks.items()):
        component = package.pipeline.components[task.component_ref.name]
        container = executors.get(component.executor_label, {}).get("container")
        if container is None:
            problems.append(f"{name}: expected a container task; replay runs no importers and no nested DAGs")
            continue
        inputs = {key: _input(value, given, run_id) for key, value in task.inputs.parameters.items()}
        config = package.executor_configs.get(
            component.executor_label, kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        )
        mounts = _mounts(config, claims, secrets_dir or Path())
        environment = {one["name"]: _in_mounts(one.get("value", ""), mounts) for one in container.get("env", [])}
        from_cluster, missing = _from_cluster(name, config, run_id, sqlite_file, secrets_dir)
        problems += missing
        words = [*container.get("command", []), *container.get("args", [])]
        retries = task.retry_policy
        tasks.append(
            Task(
                name=name,
                after=tuple(task.dependent_tasks),
                command=[_in_mounts(_fill(word, inputs), mounts) for word in words],
                environment={**environment, **from_cluster},
                retries=retries.max_retry_count,
                backoff=retries.backoff_duration.seconds,
                factor=retries.backoff_factor,
                window=retries.backoff_max_duration.seconds,
                timeout=config.active_deadline_seconds or None,
            )
        )
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return in_order(tasks)


def in_order(tasks: list[Task]) -> list[Task]:
    """The tasks with every one behind those that it waits for; ConfigError where they wait in a circle."""
    ordered: list[Task] = []
    waiting = list(tasks)
    while waiting:
        done = {task.name for task in ordered}
        ready = [task for task in waiting if done.issuperset(task.after)]
        if not ready:
            raise ConfigError([f"{', '.join(task.name for task in waiting)}: these tasks wait for each other"])
        ordered += ready
        waiting = [task for task in waiting if task not in ready]
    return ordered


def as_text(value: Any) -> str:
    """A parameter as KFP writes it into an argument: a text as it is, all else as JSON, whole numbers without .0."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _input(value: Any, parameters: Mapping[str, Any], run_id: str) -> str:
    if value.component_input_parameter:
        return as_text(parameters.get(value.component_input_parameter, ""))
    return as_text(value.runtime_value.constant.string_value.replace("{{$.pipeline_job_uuid}}", run_id))


def _fill(word: str, inputs: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: inputs[match[1]], word)


def _mounts(config: Any, claims: Mapping[str, Path], secrets_dir: Path) -> dict[str, str]:
    """What stands in for each folder that the cluster would mount."""
    mounts = {mount.mount_path: str(claims[mount.constant]) for mount in config.pvc_mount}
    mounts |= {mount.mount_path: str(secrets_dir / mount.secret_name) for mount in config.secret_as_volume}
    mounts |= {mount.mount_path: str(secrets_dir / mount.config_map_name) for mount in config.config_map_as_volume}
    return mounts


def _in_mounts(text: str, mounts: Mapping[str, str]) -> str:
    for mount_path, folder in mounts.items():
        if text == mount_path or text.startswith(f"{mount_path}/"):
            return folder + text[len(mount_path) :]
    return text


def _from_cluster(
    task: str, config: Any, run_id: str, sqlite_file: Path, secrets_dir: Path | None
) -> tuple[dict[str, str], list[str]]:
    """The environment variables that a task gets from Secrets, ConfigMaps and its pod; and which are missing."""
    pod = {"metadata.name": task, "metadata.uid": run_id, "metadata.namespace": "replay"}
    environment = {one.name: pod[one.field_path] for one in config.field_path_as_env}
    sqlite = {"host": "", "port": "", "database": str(sqlite_file), "user": "", "password": ""}
    problems = []
    uses = [
        (use.secret_name, [(one.secret_key, one.env_var) for one in use.key_to_env]) for use in config.secret_as_env
    ]
    uses += [
        (use.config_map_name, [(one.config_map_key, one.env_var) for one in use.key_to_env])
        for use in config.config_map_as_env
    ]
    for name, keys in uses:
        for key, variable in keys:
            file = secrets_dir / name / key if secrets_dir else None
            if file and file.is_file():
                environment[variable] = file.read_text(encoding="utf-8").removesuffix("\n")
            elif variable in METADATA_ENV and not secrets_dir:
                environment[variable] = sqlite[key]
            else:
                problems.append(f"--secrets: {task} needs {name}/{key}; expected a file of that name in the folder")
    return environment, problems

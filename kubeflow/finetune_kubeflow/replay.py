"""Runs a compiled package without a cluster, task by task, each as a process of its own.

What the cluster would give a task is given here: the declared environment and nothing else of this one's, placeholders
resolved as KFP resolves them, claims as folders of the workspace, Secrets from files, retries with their pauses, time
limits.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from finetune.errors import ConfigError, RunError, did_you_mean
from finetune_kubeflow.placement import METADATA_ENV
from finetune_kubeflow.workers import JOB_ENV

_PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")


@dataclass(frozen=True)
class Package:
    """A package, read with kfp's own messages."""

    pipeline: Any
    executor_configs: Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A task with everything resolved.

    Attributes:
        name: In the package.
        after: The tasks that it waits for.
        command: With its arguments.
        environment: The declared variables, those from Secrets and ConfigMaps too.
        retries: How often it is tried again.
        pauses: Seconds before each retry.
        timeout: Seconds, or None.
    """

    name: str
    after: tuple[str, ...]
    command: list[str]
    environment: dict[str, str]
    retries: int = 0
    pauses: tuple[float, ...] = ()
    timeout: float | None = None


@dataclass
class TaskResult:
    """What became of a task: `ran`, `cached` or `failed`, after how many attempts."""

    name: str
    state: str
    seconds: float
    attempts: list[int] = field(default_factory=list)
    log: Path | None = None


def read_package(path: Path) -> Package:
    """Reads a package.

    Raises:
        ConfigError: It is not a KFP v2 package.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        pipeline = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        platform = documents[1] if len(documents) > 1 else {}
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        configs = kubernetes.get("deploymentSpec", {}).get("executors", {})
        executor_configs = {
            label: json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            for label, config in configs.items()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, json_format.ParseError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError([f"{path}: not a KFP v2 package: {reason}. `finetune compile` makes one."]) from None
    return Package(pipeline, executor_configs)


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
                pauses=pauses(
                    retries.max_retry_count,
                    retries.backoff_duration.seconds,
                    retries.backoff_factor or 2.0,
                    retries.backoff_max_duration.seconds or 3600,
                ),
                timeout=config.active_deadline_seconds or None,
            )
        )
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return in_order(tasks)


def pauses(count: int, first: float, factor: float, longest: float) -> tuple[float, ...]:
    """Seconds before each retry: the first pause, times the factor each time, never longer than the longest."""
    return tuple(min(first * factor**attempt, longest) for attempt in range(count))


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


def replay(
    package_file: Path,
    workspace: Path,
    parameters: Mapping[str, str] | None = None,
    volumes: Mapping[str, Path] | None = None,
    secrets_dir: Path | None = None,
    cluster_environment: Mapping[str, str] | None = None,
    on_result: Callable[[TaskResult], None] = lambda result: None,
) -> list[TaskResult]:
    """Runs the tasks one after the other, and stops at the first that fails for good.

    Args:
        package_file: From `finetune compile`.
        workspace: Gets `volumes/<claim>`, `metadata.sqlite` and `logs/<run>/<task>.<attempt>.log`.
        parameters: Of the KFP pipeline.
        volumes: Folders for claims that are not to be folders of the workspace.
        secrets_dir: Folder of files `<Secret or ConfigMap>/<key>`. Without it, the Secret of the metadata store points
            to a SQLite file in the workspace.
        cluster_environment: What a cluster would add by itself. Tasks with a Job of workers need KUBECONFIG, in place
            of their service account.
        on_result: Is told of each task as it ends.

    Raises:
        ConfigError: The package, or what it is given, cannot be used.
    """
    workspace = workspace.absolute()
    package = read_package(package_file)
    claims = {claim: workspace / "volumes" / claim for claim in _claims(package)}
    unknown = sorted(set(volumes or {}) - set(claims))
    if unknown:
        raise ConfigError(
            f"--volume: the package mounts no claim {name!r}; expected one of {', '.join(claims)}." for name in unknown
        )
    claims |= {claim: folder.absolute() for claim, folder in (volumes or {}).items()}
    run_id = str(uuid.uuid4())
    tasks = resolve_tasks(package, parameters or {}, run_id, claims, workspace / "metadata.sqlite", secrets_dir)
    added = dict(cluster_environment or {})
    with_workers = [task.name for task in tasks if JOB_ENV in task.environment]
    if with_workers and "KUBECONFIG" not in added:
        raise ConfigError(
            f"{name}: trains in a Job of several workers, which takes a cluster; "
            "compile with distribution.workers=1 to replay the package here"
            for name in with_workers
        )
    tasks = [replace(task, environment={**task.environment, **added}) for task in tasks]
    logs = workspace / "logs" / run_id
    try:
        for folder in (logs, *claims.values()):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--workspace: {workspace} cannot be written: {error}") from None
    results = []
    for task in tasks:
        result = _run(task, workspace, logs)
        results.append(result)
        on_result(result)
        if result.state == "failed":
            break
    return results


def _run(task: Task, workspace: Path, logs: Path) -> TaskResult:
    """Runs a task until it ends well or its retries are used up."""
    start = time.monotonic()
    codes: list[int] = []
    while True:
        log = logs / f"{task.name}.{len(codes) + 1}.log"
        codes.append(_attempt(task, workspace, log))
        if codes[-1] == 0 or len(codes) > task.retries:
            state = _state_in(log) if codes[-1] == 0 else "failed"
            return TaskResult(task.name, state, round(time.monotonic() - start, 2), codes, log)
        time.sleep(task.pauses[len(codes) - 1])


def _attempt(task: Task, workspace: Path, log: Path) -> int:
    """Runs the process once and returns its exit code; negative for a signal, as subprocess has it."""
    # What the image gives: an interpreter on PATH, and a home.
    image = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "HOME": str(workspace)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            task.command,
            env={**image, **task.environment},
            cwd=workspace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(task.timeout)
        except subprocess.TimeoutExpired:
            output.write(f"replay: ended after its time limit of {task.timeout:g} s\n".encode())
            return -signal.SIGKILL
        finally:
            # Nothing that the task has started may outlive it, as in a container.
            _kill_group(process)


def _kill_group(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _state_in(log: Path) -> str:
    """`cached` or `ran`, from the event that `finetune_kubeflow.run_node` writes when a node has ended."""
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        if line.startswith('{"kind": "component_finished"'):
            return json.loads(line)["state"]
    return "ran"


def pipeline_parameters(pipeline: Any, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The value of every parameter of the pipeline, and what is wrong with those that were given."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    declared = pipeline.root.input_definitions.parameters
    problems = [
        f"--parameter {name}: the package has no such parameter; expected one of {', '.join(sorted(declared))}."
        f"{did_you_mean(name, declared)}"
        for name in given
        if name not in declared
    ]
    values: dict[str, Any] = {}
    for name, definition in declared.items():
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(definition.parameter_type)
        try:
            default = json_format.MessageToDict(definition.default_value)
            values[name] = parse_parameter(kind, given[name]) if name in given else default
        except ValueError as error:
            problems.append(f"--parameter {name}: got {given[name]!r}; {error}")
    return values, problems


def parse_parameter(kind: str, text: str) -> Any:
    """A parameter's value from its text; ValueError with what was expected.

    Args:
        kind: KFP's name of the type, such as NUMBER_INTEGER.
        text: As given on a command line.
    """
    expected = {"NUMBER_INTEGER": (int,), "NUMBER_DOUBLE": (int, float), "BOOLEAN": (bool,)}.get(kind)
    if expected is None:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if type(value) not in expected:
        raise ValueError(f"expected {'true or false' if bool in expected else 'a number'}")
    return value


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


def _claims(package: Package) -> list[str]:
    return sorted({mount.constant for config in package.executor_configs.values() for mount in config.pvc_mount})


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

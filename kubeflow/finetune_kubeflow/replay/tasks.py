"""The tasks of a package with everything resolved, as KFP's driver and launcher resolve it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from finetune.errors import ConfigError
from finetune_kubeflow.package.read import Package, pipeline_parameters
from pipeline.metadata_connection import METADATA_ENV

_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_OUTPUT_FILE = re.compile(r"\{\{\$\.outputs\.parameters\['([^']+)'\]\.output_file\}\}")
_EXECUTOR_INPUT = "{{$}}"
OUTPUT_FILE = "executor_output.json"
_ALWAYS = "ALL_UPSTREAM_TASKS_COMPLETED"
# What kfp's SDK makes of `dsl.If`, as far as this package's conditions go.
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] (==|!=) '([^']*)'")


@dataclass(frozen=True)
class Output:
    """An output parameter of a task, which is known once that has run."""

    task: str
    name: str


# A parameter as text, or where it comes from.
Value = str | Output


@dataclass(frozen=True)
class Condition:
    """Whether a task runs: where a value is a text, or where it is none."""

    value: Value
    text: str
    equal: bool

    def holds(self, read: Callable[[Output], str]) -> bool:
        """Tells whether it does, given what reads an output."""
        return (_known(self.value, read) == self.text) == self.equal


@dataclass(frozen=True)
class Task:
    """A task of a package with everything resolved that is known before it runs: its command, its whole environment.

    It waits for those `after` which it comes, and runs where its `conditions` hold. The first pause before a retry is
    `backoff` seconds long, each further one `factor` times as long; `window` is counted from the start of the first
    attempt. `timeout` is in seconds, too. `inputs` are what its words ask for, `artifacts` the types of its output
    artifacts by name. One that runs `always` does so when those before it have ended, failed ones too.
    """

    name: str
    after: tuple[str, ...]
    words: list[str]
    environment: dict[str, str]
    inputs: Mapping[str, Value] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)
    always: bool = False
    retries: int = 0
    backoff: float = 0
    factor: float = 1
    window: float = 0
    timeout: float | None = None

    def command(self, outputs: Path) -> list[str]:
        """Returns the command with arguments, given the folder where tasks leave their outputs."""
        read = partial(read_output, outputs)
        inputs = {name: _known(value, read) for name, value in self.inputs.items()}
        filled = [_INPUT.sub(lambda match: inputs[match[1]], word) for word in self.words]
        filled = [self._executor_input(inputs, outputs) if word == _EXECUTOR_INPUT else word for word in filled]
        return [_OUTPUT_FILE.sub(lambda match: str(outputs / self.name / match[1]), word) for word in filled]

    def _executor_input(self, inputs: Mapping[str, str], outputs: Path) -> str:
        """KFP's ExecutorInput as JSON; artifacts are files."""
        folder = outputs / self.name
        one_each = {
            name: {"name": name, "type": {"schemaTitle": kind}, "uri": str(folder / name), "metadata": {}}
            for name, kind in self.artifacts.items()
        }
        artifacts = {name: {"artifacts": [artifact]} for name, artifact in one_each.items()}
        told = {"artifacts": artifacts, "outputFile": str(folder / OUTPUT_FILE)}
        return json.dumps({"inputs": {"parameterValues": dict(inputs)}, "outputs": told})

    def pause_after(self, attempts: int, elapsed: float) -> float | None:
        """Seconds until the next attempt, as Argo has it; None where there is none.

        Args:
            attempts: How many there were.
            elapsed: Seconds since the first began.
        """
        pause = self.backoff * self.factor ** (attempts - 1)
        return pause if attempts <= self.retries and elapsed + pause <= self.window else None


def read_output(outputs: Path, output: Output) -> str:
    """Reads what a task has left."""
    return (outputs / output.task / output.name).read_text(encoding="utf-8")


def resolve_tasks(
    package: Package,
    parameters: Mapping[str, str],
    run_id: str,
    claims: Mapping[str, Path],
    sqlite_file: Path,
    secrets_dir: Path | None = None,
) -> list[Task]:
    """Resolves every task as KFP's driver and launcher do, those of nested DAGs too, in an order in which they can run.

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
    found, unknown = _flat(package.pipeline, {name: as_text(value) for name, value in given.items()}, run_id)
    problems += unknown
    for one in found:
        component = package.pipeline.components[one.spec.component_ref.name]
        container = executors.get(component.executor_label, {}).get("container")
        if container is None:
            problems.append(f"{one.name}: expected a container task; replay runs no importers")
            continue
        config = package.executor_configs.get(
            component.executor_label, kubernetes_executor_config_pb2.KubernetesExecutorConfig()
        )
        mounts = _mounts(config, claims, secrets_dir or Path())
        environment = {each["name"]: _in_mounts(each.get("value", ""), mounts) for each in container.get("env", [])}
        from_cluster, missing = _from_cluster(one.name, config, run_id, sqlite_file, secrets_dir)
        problems += missing
        words = [*container.get("command", []), *container.get("args", [])]
        retries = one.spec.retry_policy
        tasks.append(
            Task(
                name=one.name,
                after=one.after,
                words=[_in_mounts(word, mounts) for word in words],
                environment={**environment, **from_cluster},
                inputs=one.inputs,
                conditions=one.conditions,
                artifacts={
                    name: output.artifact_type.schema_title
                    for name, output in sorted(component.output_definitions.artifacts.items())
                },
                always=one.spec.trigger_policy.strategy == one.spec.TriggerPolicy.TriggerStrategy.Value(_ALWAYS),
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


@dataclass(frozen=True)
class _Placed:
    """A task of any DAG of a package, with its inputs, and what it takes over from the DAGs that it is in."""

    name: str
    spec: Any
    after: tuple[str, ...]
    inputs: dict[str, Value]
    conditions: tuple[Condition, ...]


def _flat(
    pipeline: Any,
    parameters: Mapping[str, Value],
    run_id: str,
    dag: Any = None,
    after: tuple[str, ...] = (),
    conditions: tuple[Condition, ...] = (),
) -> tuple[list[_Placed], list[str]]:
    """The tasks of a DAG (of the pipeline's own by default) and of those in it, and what cannot be replayed."""
    found: dict[str, list[_Placed]] = {}
    problems: list[str] = []
    specs = (dag or pipeline.root.dag).tasks
    for name in _behind({name: spec.dependent_tasks for name, spec in specs.items()}):
        spec = specs[name]
        inputs = {key: _input(value, parameters, run_id) for key, value in spec.inputs.parameters.items()}
        waits = (*after, *(one.name for other in spec.dependent_tasks for one in found.get(other, [])))
        condition, problem = _condition(name, spec.trigger_policy.condition, inputs)
        held = (*conditions, condition) if condition else conditions
        component = pipeline.components[spec.component_ref.name]
        if component.HasField("dag"):
            found[name], deeper = _flat(pipeline, inputs, run_id, component.dag, waits, held)
        else:
            found[name], deeper = [_Placed(name, spec, waits, inputs, held)], []
        problems += [*([problem] if problem else []), *deeper]
    return [one for each in found.values() for one in each], problems


def _condition(name: str, text: str, inputs: Mapping[str, Value]) -> tuple[Condition | None, str]:
    """The condition of a task, if it has one, and what is wrong with it."""
    if not text:
        return None, ""
    match = _CONDITION.fullmatch(text)
    if match is None or match[1] not in inputs:
        return None, f"{name}: got the condition {text!r}; replay knows those that hold a parameter against a text"
    return Condition(inputs[match[1]], match[3], match[2] == "=="), ""


def _known(value: Value, read: Callable[[Output], str]) -> str:
    return value if isinstance(value, str) else read(value)


def in_order(tasks: list[Task]) -> list[Task]:
    """The tasks with every one behind those that it waits for; ConfigError where they wait in a circle."""
    by_name = {task.name: task for task in tasks}
    return [by_name[name] for name in _behind({task.name: task.after for task in tasks})]


def _behind(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Names with each behind those that it waits for; ConfigError where they wait in a circle."""
    ordered: list[str] = []
    waiting = sorted(after)
    while waiting:
        ready = [name for name in waiting if set(ordered).issuperset(after[name])]
        if not ready:
            raise ConfigError([f"{', '.join(waiting)}: these tasks wait for each other"])
        ordered += ready
        waiting = [name for name in waiting if name not in ready]
    return ordered


def as_text(value: Any) -> str:
    """A parameter as KFP writes it into an argument: a text as it is, all else as JSON, whole numbers without .0."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _input(value: Any, parameters: Mapping[str, Value], run_id: str) -> Value:
    if value.HasField("task_output_parameter"):
        return Output(value.task_output_parameter.producer_task, value.task_output_parameter.output_parameter_key)
    if value.component_input_parameter:
        return parameters.get(value.component_input_parameter, "")
    return as_text(value.runtime_value.constant.string_value.replace("{{$.pipeline_job_uuid}}", run_id))


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

"""Writes the DAG as a package for Kubeflow Pipelines: container tasks for its nodes, and nothing but the package.

KFP supplies order, placement, retries and schedules; TFX keeps the metadata. Each task carries the intermediate
representation (IR) of its nodes, so that image and package need no third thing to agree about.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluation.tasks import gates_of
from finetune.buckets import is_bucket
from finetune.config import Config
from finetune.errors import ConfigError
from finetune.run_time import ConfigValue
from finetune_kubeflow.environment import JOB_ENV, TASK_COMMAND, TRAIN_JOB_ENV
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.groups import groups_of
from finetune_kubeflow.package.packed import pack
from finetune_kubeflow.package.runtime_keys import parameter_name, runtime_parameters, with_value
from finetune_kubeflow.workers import manifests
from pipeline.plan import node_ids
from trainer_module.backbones.sources import record_of

# What is safe: KFP copies a package into objects whose size the API server bounds, and a node's IR into its pods.
MAX_PACKAGE_BYTES = 150_000
MAX_NODES_CHARACTERS = 50_000
# Keys whose paths may be in a bucket that is not mounted.
IN_BUCKETS = ("data.root", "push.directory")


def compile_package(config: Config, output: Path) -> None:
    """Compiles the config's pipeline to a KFP v2 package.

    Args:
        config: Relative paths in it are below the shared volume.
        output: YAML file to write.

    Raises:
        ConfigError: With everything that is wrong, or that KFP cannot express.
    """
    from kfp import compiler, dsl

    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError([f"--output: got {str(output)!r}; expected a file name that ends in .yaml"])
    if not output.absolute().parent.is_dir():
        raise ConfigError([f"--output: got {str(output)!r}; its folder does not exist"])
    parameters, problems = runtime_parameters(config)
    problems += _path_problems(config)
    problems += placement.problems(config, node_ids(config))
    if problems:
        raise ConfigError(problems)
    ir = open_ir(config, list(parameters))
    upstream = {node.pipeline_node.node_info.id: list(node.pipeline_node.upstream_nodes) for node in ir.nodes}
    groups = groups_of(config, upstream)
    components = [_component(ir, group, config, parameters) for group in groups]

    def dag(*channels: Any) -> None:
        given = dict(zip(map(parameter_name, parameters), channels, strict=True))
        tasks: dict[str, dsl.PipelineTask] = {}
        for group, component in zip(groups, components, strict=True):
            needed = {name: given[name] for name in component.component_spec.inputs if name in given}
            task = component(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **needed)
            task.set_caching_options(False).set_display_name(", ".join(group))
            before = {other for node_id in group for other in upstream[node_id]}.difference(group)
            task.after(*dict.fromkeys(tasks[other] for other in sorted(before)))
            placement.place(task, config, group)
            if placement.has_workers(config, group[0]):
                task.set_env_variable(JOB_ENV, json.dumps(manifests.job(config, group[0])))
                if config.kubernetes.worker_job == "TrainJob":
                    task.set_env_variable(TRAIN_JOB_ENV, "1")
            tasks |= dict.fromkeys(group, task)

    defaults = {parameter_name(key): value for key, value in parameters.items()}
    signed = _with_signature(dag, {name: type(value) for name, value in defaults.items()}, defaults)
    pipeline = dsl.pipeline(signed, name=config.name.replace("_", "-"), description=_description(config))
    placement.widen_retry_windows(pipeline.pipeline_spec)
    compiler.Compiler().compile(pipeline, str(output))
    if output.stat().st_size > MAX_PACKAGE_BYTES:
        size = output.stat().st_size
        output.unlink()
        raise ConfigError(
            [
                f"--output: the package has {size:,} bytes; expected at most {MAX_PACKAGE_BYTES:,}. Placements take "
                "the most: kubernetes.components need name those nodes alone that differ from kubernetes.defaults"
            ]
        )


def open_ir(config: Config, runtime_keys: Iterable[str]) -> Any:
    """Compiles TFX's IR with these config keys left open, and with paths below the volume that all nodes share.

    Returns:
        pipeline_pb2.Pipeline without a metadata connection.

    Raises:
        ConfigError: A run-time key is not one that can be left open.
    """
    from pipeline.dag import compile_ir
    from pipeline.nodes import run_time_values

    runtime_keys = list(runtime_keys)
    opened = config
    for key, path in _paths(config).items():
        if path:
            opened = with_value(opened, key, _below_root(path, config.kubernetes.volume.mount_path))
    for key in runtime_keys:
        opened = with_value(opened, key, ConfigValue(key=key))
    with warnings.catch_warnings():
        # A value that is left open is none of the field's type; pydantic says so when it writes the config as JSON.
        warnings.filterwarnings("ignore", message="(?s)Pydantic serializer warnings")
        try:
            ir = compile_ir(opened)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                [
                    f"kubernetes.runtime: got {', '.join(runtime_keys)}; one of them decides how the DAG is built and "
                    f"cannot be left open ({error}). Leave it out, and compile a package for each value."
                ]
            ) from error
    used = run_time_values(ir)
    without_effect = [key for key in runtime_keys if ConfigValue(key=key) not in used]
    if without_effect:
        raise ConfigError(
            [f"kubernetes.runtime: {key} has no effect on any node; leave it out" for key in without_effect]
        )
    return ir


def _component(ir: Any, group: Sequence[str], config: Config, parameters: dict[str, Any]) -> Any:
    """The nodes of a group as one KFP component."""
    from kfp import dsl

    from pipeline.nodes import alone, run_time_values, with_executor

    nodes = alone(ir, *group)
    if placement.has_workers(config, group[0]):
        nodes = with_executor(nodes, group[0], manifests.EXECUTOR)
    packed = pack(nodes)
    if len(packed) > MAX_NODES_CHARACTERS:
        raise ConfigError(
            [
                f"{', '.join(group)}: the settings pack into {len(packed)} characters; expected at most "
                f"{MAX_NODES_CHARACTERS}"
            ]
        )
    open_values = run_time_values(nodes)
    used = {key: value for key, value in parameters.items() if ConfigValue(key=key) in open_values}

    def container(run_id: Any, *values: Any) -> dsl.ContainerSpec:
        arguments = ["--run-id", run_id, "--nodes", packed]
        for (key, default), value in zip(used.items(), values, strict=True):
            arguments += ["--text" if isinstance(default, str) else "--value", key, value]
        image = placement.placement(config, group[0]).image
        return dsl.ContainerSpec(image=image, command=list(TASK_COMMAND), args=arguments)

    container.__name__ = _task_name(group)
    signed = _with_signature(container, {"run_id": str, **{parameter_name(key): type(used[key]) for key in used}})
    return dsl.container_component(signed)


def _task_name(group: Sequence[str]) -> str:
    """The name that KFP makes `trainer` of, or `champion-resolver-to-pusher`."""
    ends = dict.fromkeys((group[0], group[-1]))
    return "_to_".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node_id).lower() for node_id in ends)


def _with_signature(function: Any, types: dict[str, type], defaults: dict[str, Any] | None = None) -> Any:
    """Gives a function the signature that KFP reads the parameters of a component, or of a pipeline, from."""
    kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, kind, annotation=annotation, default=(defaults or {}).get(name, none))
            for name, annotation in types.items()
        ]
    )
    return function


def _description(config: Config) -> str:
    gates = gates_of(config.task, config.evaluation)
    return f"Fine-tunes {record_of(config.backbone).name} and pushes it if it passes {len(gates)} gates."


def _below_root(path: str, mount: str) -> str:
    """A path relative to the folder where the volume is mounted; one that is elsewhere stays as it is."""
    return path.removeprefix(mount).lstrip("/") or "." if path == mount or path.startswith(f"{mount}/") else path


def _path_problems(config: Config) -> list[str]:
    return [
        f"{key}: got {path!r}; expected a path below the shared volume. A bucket can be that volume "
        "(kubeflow/manifests/overlays/gcs-bucket and s3-bucket); one that is only read from can be mounted as one of "
        "kubernetes.defaults.volumes"
        for key, path in _paths(config).items()
        if path and re.match(r"[a-z0-9]+:/", path) and not (key in IN_BUCKETS and is_bucket(path))
    ]


def _paths(config: Config) -> dict[str, str | None]:
    return {
        "output_dir": config.output_dir,
        "data.root": config.data.root,
        "data.schema_file": config.data.schema_file,
        "backbone.weights": config.backbone.weights,
        "backbone.file": config.backbone.file,
        "push.directory": config.push.directory,
    }

"""Writes the DAG as a package for Kubeflow Pipelines: container tasks for its nodes, and nothing but the package.

KFP supplies order, placement, retries and schedules; TFX keeps the metadata. Each task carries the intermediate
representation (IR) of its nodes, so that image and package need no third thing to agree about.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.tasks import gates_of
from finetune.buckets import is_bucket
from finetune.config import Config
from finetune.errors import ConfigError
from finetune.run_time import ConfigValue
from finetune_kubeflow.environment import JOB_ENV, NOWHERE, REPORT, TRAIN_JOB_ENV
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.components import (
    decision_component,
    examined_nodes,
    report_component,
    task_component,
    with_signature,
)
from finetune_kubeflow.package.groups import groups_of
from finetune_kubeflow.package.runtime_keys import parameter_name, runtime_parameters, with_value
from finetune_kubeflow.workers import manifests
from pipeline.plan import node_ids
from pipeline.retraining.lineage import NODE_ID
from trainer_module.backbones.sources import record_of

# What is safe: KFP copies a package into objects whose size the API server bounds.
MAX_PACKAGE_BYTES = 150_000
# Keys whose paths may be in a bucket that is not mounted.
IN_BUCKETS = ("data.root", "push.directory")
START_FROM = "training.start_from"


def compile_package(config: Config, output: Path, decides: bool = False) -> None:
    """Compiles the config's pipeline to a KFP v2 package.

    Args:
        config: Relative paths in it are below the shared volume.
        output: YAML file to write.
        decides: Whether a task comes first that decides as `finetune retrain` does, and the others run where it says
            to train.

    Raises:
        ConfigError: With everything that is wrong, or that KFP cannot express.
    """
    from kfp import compiler, dsl

    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError([f"--output: got {str(output)!r}; expected a file name that ends in .yaml"])
    if not output.absolute().parent.is_dir():
        raise ConfigError([f"--output: got {str(output)!r}; its folder does not exist"])
    parameters, problems = runtime_parameters(config)
    asked = on_volume(config)
    if decides:
        if START_FROM in parameters:
            problems.append(f"kubernetes.runtime: got {START_FROM}, which the decision says; leave it out")
        # Both ways are wired.
        config = with_value(config, START_FROM, "champion")
    problems += _path_problems(config)
    problems += placement.problems(config, [*([NODE_ID] if decides else []), *node_ids(config), REPORT])
    if problems:
        raise ConfigError(problems)
    ir = open_ir(config, [*parameters, *([START_FROM] if decides else [])])
    upstream = {node.pipeline_node.node_info.id: list(node.pipeline_node.upstream_nodes) for node in ir.nodes}
    groups = groups_of(config, upstream)
    starts = {START_FROM: "champion"} if decides else {}
    components = [task_component(ir, group, config, {**parameters, **starts}) for group in groups]
    decision = decision_component(ir, asked, parameters) if decides else None
    report = report_component(asked, parameters)

    def tasks_of(given: Mapping[str, Any]) -> None:
        tasks: dict[str, dsl.PipelineTask] = {}
        for group, component in zip(groups, components, strict=True):
            task = _task(component, config, group, given)
            before = {other for node_id in group for other in upstream[node_id]}.difference(group)
            task.after(*dict.fromkeys(tasks[other] for other in sorted(before)))
            if placement.has_workers(config, group[0]):
                task.set_env_variable(JOB_ENV, json.dumps(manifests.job(config, group[0])))
                if config.kubernetes.worker_job == "TrainJob":
                    task.set_env_variable(TRAIN_JOB_ENV, "1")
            tasks |= dict.fromkeys(group, task)

    def dag(*channels: Any) -> None:
        given = dict(zip(map(parameter_name, parameters), channels, strict=True))
        last = _task(report, config, [REPORT], given)
        with dsl.ExitHandler(last, name="run"):
            run(given)

    def run(given: Mapping[str, Any]) -> None:
        if decision is None:
            tasks_of(given)
            return
        decided = _task(decision, config, [NODE_ID, *examined_nodes(config)], given)
        start = decided.set_display_name(NODE_ID).outputs["start_from"]
        with dsl.If(start != NOWHERE, name="train"):
            tasks_of({**given, parameter_name(START_FROM): start})

    defaults = {parameter_name(key): value for key, value in parameters.items()}
    signed = with_signature(dag, {name: type(value) for name, value in defaults.items()}, defaults)
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


def _task(component: Any, config: Config, nodes: Sequence[str], given: Mapping[str, Any]) -> Any:
    """A task of a component, placed."""
    from kfp import dsl

    needed = {name: given[name] for name in component.component_spec.inputs if name in given}
    task = component(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **needed)
    task.set_caching_options(False).set_display_name(", ".join(nodes))
    placement.place(task, config, nodes)
    return task


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
    opened = on_volume(config)
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


def on_volume(config: Config) -> Config:
    """A config with paths below the folder that all nodes share, where they were below its mount path."""
    for key, path in _paths(config).items():
        if path:
            config = with_value(config, key, _below_root(path, config.kubernetes.volume.mount_path))
    return config


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
        **{f"backbone.sides.{side}.weights": each.weights for side, each in config.backbone.of_sides.items()},
        **{f"backbone.sides.{side}.file": each.file for side, each in config.backbone.of_sides.items()},
        "push.directory": config.push.directory,
    }

"""Writes a pipeline of TFX as a package for Kubeflow Pipelines: container tasks for its nodes, placed.

KFP supplies order, placement, retries and schedules; TFX keeps the metadata. Each task carries the intermediate
representation (IR) of its nodes, so that image and package need no third thing to agree about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.config.kubernetes import KubernetesConfig
from finetune.errors import ConfigError
from finetune_kubeflow.environment import JOB_ENV, TRAIN_JOB_ENV
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.components import task_component, with_signature
from finetune_kubeflow.package.groups import groups_of
from finetune_kubeflow.package.runtime_keys import parameter_name
from finetune_kubeflow.package.user_code import UserCode

# What is safe: KFP copies a package into objects whose size the API server bounds.
MAX_PACKAGE_BYTES = 150_000

# The values of parameters by name, which are channels of KFP.
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Contents:
    """What a package holds.

    Attributes:
        name: Of the pipeline.
        description: A sentence that KFP's interface shows.
        ir: Of the pipeline; the values of `parameters` are open in it.
        settings: Where nodes run.
        parameters: Default values of what a run may set.
        opened: Default values of what else is open, which `around` gives.
        jobs: The Job of each node that trains on several machines.
        code: What nodes import that is in no image.
    """

    name: str
    description: str
    ir: Any
    settings: KubernetesConfig
    parameters: Mapping[str, Any]
    opened: Mapping[str, Any] = field(default_factory=dict)
    jobs: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, UserCode] = field(default_factory=dict)


def check_output(output: Path) -> None:
    """Raises ConfigError where no package can be written there."""
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError([f"--output: got {str(output)!r}; expected a file name that ends in .yaml"])
    if not output.absolute().parent.is_dir():
        raise ConfigError([f"--output: got {str(output)!r}; its folder does not exist"])


def write_package(
    contents: Contents,
    output: Path,
    around: Callable[[Callable[[Given], None], Given], None] = lambda tasks, given: tasks(given),
) -> None:
    """Writes a KFP v2 package.

    Args:
        contents: Of the package.
        output: YAML file to write.
        around: Makes the DAG: calls its first argument, which makes the tasks of the nodes, with values for all that
            is open; its second has those of `parameters`.

    Raises:
        ConfigError: The package, or a task of it, is too large.
    """
    from kfp import compiler, dsl

    settings, parameters = contents.settings, contents.parameters
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in contents.ir.nodes}
    upstream = {node_id: list(node.upstream_nodes) for node_id, node in nodes.items()}
    kinds = {node_id: node.node_info.type.name.rpartition(".")[2] for node_id, node in nodes.items()}
    groups = groups_of(settings, upstream, kinds)
    everything_open = {**parameters, **contents.opened}
    components = []
    for group in groups:
        code = [contents.code[node_id] for node_id in group if node_id in contents.code]
        watches = group[0] in contents.jobs
        components.append(task_component(contents.ir, group, settings, everything_open, watches, code))

    def tasks_of(given: Given) -> None:
        tasks: dict[str, dsl.PipelineTask] = {}
        for group, component in zip(groups, components, strict=True):
            job = contents.jobs.get(group[0])
            task = placed_task(component, settings, group, given, watches=job is not None)
            before = {other for node_id in group for other in upstream[node_id]}.difference(group)
            task.after(*dict.fromkeys(tasks[other] for other in sorted(before)))
            if job is not None:
                task.set_env_variable(JOB_ENV, json.dumps(job))
                if settings.worker_job == "TrainJob":
                    task.set_env_variable(TRAIN_JOB_ENV, "1")
            tasks |= dict.fromkeys(group, task)

    def dag(*channels: Any) -> None:
        around(tasks_of, dict(zip(map(parameter_name, parameters), channels, strict=True)))

    defaults = {parameter_name(key): value for key, value in parameters.items()}
    signed = with_signature(dag, {name: type(value) for name, value in defaults.items()}, defaults)
    pipeline = dsl.pipeline(signed, name=_kfp_name(contents.name), description=contents.description)
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


def placed_task(
    component: Any, settings: KubernetesConfig, nodes: Sequence[str], given: Given, watches: bool = False
) -> Any:
    """A task of a component, placed."""
    from kfp import dsl

    needed = {name: given[name] for name in component.component_spec.inputs if name in given}
    task = component(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **needed)
    task.set_caching_options(False).set_display_name(", ".join(nodes))
    placement.place(task, settings, nodes, watches)
    return task


def _kfp_name(name: str) -> str:
    """The name as KFP takes it: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")

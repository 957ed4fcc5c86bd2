"""Nodes of the DAG, and the decision before them, as components of KFP."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finetune.config import Config
from finetune.config.kubernetes import KubernetesConfig
from finetune.errors import ConfigError
from finetune_kubeflow.environment import DECIDE_COMMAND, REPORT, REPORT_COMMAND, SPANS, TASK_COMMAND
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.packed import pack, pack_config
from finetune_kubeflow.package.runtime_keys import parameter_name
from finetune_kubeflow.package.user_code import UserCode
from finetune_kubeflow.workers import manifests
from pipeline.plan import node_ids
from pipeline.retraining.examination import last_examined
from pipeline.retraining.lineage import NODE_ID

# What is safe: KFP copies a node's IR into its pods.
MAX_NODES_CHARACTERS = 50_000
# What KFP's launcher puts the description of a task's outputs in place of.
EXECUTOR_INPUT = "{{$}}"


def task_component(
    ir: Any,
    group: Sequence[str],
    settings: KubernetesConfig,
    parameters: Mapping[str, Any],
    watches: bool,
    code: Iterable[UserCode],
) -> Any:
    """The nodes of a task as one KFP component.

    Args:
        ir: Of the pipeline.
        group: The nodes.
        settings: Of the package.
        parameters: Default values of what is left open; what the nodes ask for becomes inputs.
        watches: Whether the task only watches over the Job that trains.
        code: That the nodes import.

    Raises:
        ConfigError: The nodes are too large.
    """
    from kfp import dsl

    from pipeline.nodes import alone, left_open, with_executor

    nodes = alone(ir, *group)
    if watches:
        nodes = with_executor(nodes, group[0], manifests.EXECUTOR)
    packed, texts = pack(nodes), dict.fromkeys(one.packed() for one in code)
    _check_size([packed, *texts], group)
    carried = [word for text in texts for word in ("--code", text)]
    asked = left_open(nodes)
    used = {key: value for key, value in parameters.items() if key in asked}

    def container(run_id: Any, *values: Any) -> dsl.ContainerSpec:
        image = placement.placement(settings, group[0]).image
        arguments = [*_arguments(run_id, packed, used, values), *carried]
        return dsl.ContainerSpec(image=image, command=list(TASK_COMMAND), args=arguments)

    container.__name__ = _task_name(group)
    signed = with_signature(container, {"run_id": str, **{parameter_name(key): type(used[key]) for key in used}})
    return dsl.container_component(signed)


def decision_component(ir: Any, config: Config, parameters: Mapping[str, Any]) -> Any:
    """What decides whether the other tasks run; its outputs are `action` and `start_from`.

    Args:
        ir: Of the pipeline.
        config: Of the pipeline, with paths below the shared volume.
        parameters: Default values of the config keys that a run may set.

    Raises:
        ConfigError: The nodes that it runs are too large.
    """
    from kfp import dsl

    from pipeline.nodes import alone

    examined = examined_nodes(config)
    packed, packed_config = pack(alone(ir, *examined)), pack_config(config)
    _check_size([packed], examined)

    def container(action: Any, start_from: Any, run_id: Any, *values: Any) -> dsl.ContainerSpec:
        given = ["--config", packed_config, "--action", action, "--start-from", start_from]
        image = placement.placement(config.kubernetes, NODE_ID).image
        arguments = [*_arguments(run_id, packed, parameters, values), *given]
        return dsl.ContainerSpec(image=image, command=list(DECIDE_COMMAND), args=arguments)

    container.__name__ = _task_name([NODE_ID])
    outputs = dict.fromkeys(("action", "start_from"), dsl.OutputPath(str))
    given = {parameter_name(key): type(value) for key, value in parameters.items()}
    return dsl.container_component(with_signature(container, {**outputs, "run_id": str, **given}))


def report_component(config: Config, parameters: Mapping[str, Any]) -> Any:
    """What tells of a run; its outputs are what KFP's interface shows.

    Args:
        config: Of the pipeline, with paths below the shared volume.
        parameters: Default values of the config keys that a run may set.
    """
    from kfp import dsl

    packed_config = pack_config(config)
    shown = {
        "report": dsl.Output[dsl.HTML],
        "metrics": dsl.Output[dsl.Metrics],
        "confusion_matrix": dsl.Output[dsl.ClassificationMetrics],
        "model_card": dsl.Output[dsl.Markdown],
        "model": dsl.Output[dsl.Model],
    }

    def container(*given: Any) -> dsl.ContainerSpec:
        run_id, *values = given[len(shown) :]
        arguments = ["--run-id", run_id, *_values(parameters, values), "--config", packed_config]
        arguments += ["--executor-input", EXECUTOR_INPUT]
        image = placement.placement(config.kubernetes, REPORT).image
        return dsl.ContainerSpec(image=image, command=list(REPORT_COMMAND), args=arguments)

    container.__name__ = _task_name([REPORT])
    given = {parameter_name(key): type(value) for key, value in parameters.items()}
    return dsl.container_component(with_signature(container, {**shown, "run_id": str, **given}))


def examined_nodes(config: Config) -> list[str]:
    """The nodes that a decision may run."""
    nodes = node_ids(config)
    return nodes[: nodes.index(last_examined(config)) + 1]


def with_signature(function: Any, types: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Any:
    """Gives a function the signature that KFP reads the parameters of a component, or of a pipeline, from."""
    kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, kind, annotation=annotation, default=(defaults or {}).get(name, none))
            for name, annotation in types.items()
        ]
    )
    return function


def _arguments(run_id: Any, packed: str, defaults: Mapping[str, Any], values: Sequence[Any]) -> list[Any]:
    return ["--run-id", run_id, "--nodes", packed, *_values(defaults, values)]


def _values(defaults: Mapping[str, Any], values: Sequence[Any]) -> list[Any]:
    """The arguments that give config keys their values."""
    pairs = zip(defaults.items(), values, strict=True)
    return [word for (key, default), value in pairs for word in (_option(key, default), key, value)]


def _option(key: str, default: Any) -> str:
    if key == SPANS:
        return "--texts"
    return "--text" if isinstance(default, str) else "--value"


def _check_size(packed: Sequence[str], group: Sequence[str]) -> None:
    size, carries = sum(map(len, packed)), len(packed) > 1
    if size > MAX_NODES_CHARACTERS:
        what = "settings, and the Python files beside `module_file`," if carries else "settings"
        mend = ". Code that is large goes into the image: `run_fn` and `preprocessing_fn` name functions there"
        raise ConfigError(
            [
                f"{', '.join(group)}: the {what} pack into {size} characters; expected at most {MAX_NODES_CHARACTERS}"
                f"{mend if carries else ''}"
            ]
        )


def _task_name(group: Sequence[str]) -> str:
    """The name that KFP makes `trainer` of, or `champion-resolver-to-pusher`."""
    ends = dict.fromkeys((group[0], group[-1]))
    return "_to_".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node_id).lower() for node_id in ends)

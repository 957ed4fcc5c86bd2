"""A compiled pipeline's intermediate representation (IR): single nodes of it, and what is filled in where they run.

Of TFX only the messages are imported, which takes no TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from tfx.dsl.compiler.constants import PIPELINE_ROOT_PARAMETER_NAME, PIPELINE_RUN_ID_PARAMETER_NAME
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from finetune import run_time
from finetune.run_time import ConfigValue, Place
from pipeline.code_digest import node_digest


def alone(pipeline: pipeline_pb2.Pipeline, *node_ids: str) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with these nodes and their deployment config alone; the metadata store is kept."""
    with _changed_deployment(pipeline) as (single, deployment):
        del single.nodes[:]
        single.nodes.extend(node for node in pipeline.nodes if node.pipeline_node.node_info.id in node_ids)
        specs_by_node = (deployment.executor_specs, deployment.custom_driver_specs)
        for specs in (*specs_by_node, deployment.node_level_platform_configs):
            for other in [key for key in specs if key not in node_ids]:
                del specs[other]
    return single


def with_metadata_connection(pipeline: pipeline_pb2.Pipeline, connection: Any | None) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with another metadata store (ml_metadata's ConnectionConfig), or with none."""
    with _changed_deployment(pipeline) as (changed, deployment):
        deployment.ClearField("metadata_connection_config")
        if connection is not None:
            deployment.metadata_connection_config.Pack(connection)
    return changed


def with_executor(pipeline: pipeline_pb2.Pipeline, node_id: str, class_path: str) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with another executor class for a node."""
    with _changed_deployment(pipeline) as (changed, deployment):
        spec = executable_spec_pb2.PythonClassExecutableSpec(class_path=class_path)
        deployment.executor_specs[node_id].Pack(spec)
    return changed


@contextmanager
def _changed_deployment(
    pipeline: pipeline_pb2.Pipeline,
) -> Iterator[tuple[pipeline_pb2.Pipeline, pipeline_pb2.IntermediateDeploymentConfig]]:
    """Gives a copy of the pipeline, and its deployment config, which is put back into the copy at the end."""
    changed, deployment = pipeline_pb2.Pipeline(), pipeline_pb2.IntermediateDeploymentConfig()
    changed.CopyFrom(pipeline)
    pipeline.deployment_config.Unpack(deployment)
    yield changed, deployment
    changed.deployment_config.Pack(deployment, deterministic=True)


def place_at(root: Path, values: Mapping[str, Any] | None = None) -> Place:
    """Returns where nodes run: below `root`, in this process, with the code that it runs."""
    return Place(root.absolute(), node_digest, values or {})


def resolved(pipeline: pipeline_pb2.Pipeline, place: Place, run_id: str) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with everything filled in that is known only where its nodes run.

    Raises:
        ConfigError: The place has no value for a config key that is left open.
    """
    made = pipeline_pb2.Pipeline()
    made.CopyFrom(pipeline)
    root = str(place.root / root_of(pipeline))
    where = {PIPELINE_ROOT_PARAMETER_NAME: root, PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    for value in list(_parameters(made)):
        _fill_in(value, {**place.values, **where})
    for message, field in _texts(made):
        data = _json(getattr(message, field))
        filled = run_time.resolve(data, place)
        if filled != data:
            setattr(message, field, filled if isinstance(filled, str) else json.dumps(filled, sort_keys=True))
    return made


def left_open(pipeline: pipeline_pb2.Pipeline) -> set[str]:
    """Returns the config keys, and the names of TFX's runtime parameters, whose values a pipeline leaves open."""
    keys = {value.key for value in run_time_values(pipeline) if isinstance(value, ConfigValue)}
    return keys | {parameter.name for parameter in runtime_parameters(pipeline)}


def run_time_values(pipeline: pipeline_pb2.Pipeline) -> list[Any]:
    """Returns the values that the nodes of a pipeline leave open."""
    return [
        value for message, field in _texts(pipeline) for value in run_time.values_in(_json(getattr(message, field)))
    ]


def root_of(pipeline: pipeline_pb2.Pipeline) -> str:
    """Returns the root of a pipeline that is not resolved."""
    return str(pipeline.runtime_spec.pipeline_root.runtime_parameter.default_value.string_value)


def _fill_in(value: pipeline_pb2.Value, values: Mapping[str, Any]) -> None:
    """Puts a value where a runtime parameter of TFX has its name, else its default, as LocalDagRunner does."""
    parameter = value.runtime_parameter
    given = values.get(parameter.name, default_of(parameter))
    kind = parameter.type
    if kind == parameter.INT:
        value.field_value.int_value = int(given)
    elif kind == parameter.DOUBLE:
        value.field_value.double_value = float(given)
    else:
        value.field_value.string_value = given


def default_of(parameter: pipeline_pb2.RuntimeParameter) -> Any:
    """Returns the default value of a runtime parameter of TFX; None where it has none."""
    kind = parameter.default_value.WhichOneof("value")
    return getattr(parameter.default_value, kind) if kind else None


def runtime_parameters(pipeline: pipeline_pb2.Pipeline) -> list[pipeline_pb2.RuntimeParameter]:
    """Returns the runtime parameters of TFX that a pipeline's nodes have, without those of its root and run."""
    own = (PIPELINE_ROOT_PARAMETER_NAME, PIPELINE_RUN_ID_PARAMETER_NAME)
    found = (value.runtime_parameter for value in _parameters(pipeline))
    return [parameter for parameter in found if parameter.name not in own]


def _parameters(message: Message) -> Iterator[pipeline_pb2.Value]:
    """Yields the values that are runtime parameters of TFX."""
    if isinstance(message, pipeline_pb2.Value):
        if message.WhichOneof("value") == "runtime_parameter":
            yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        is_map = field.message_type.GetOptions().map_entry
        for part in value.values() if is_map else [value] if isinstance(value, Message) else value:
            if isinstance(part, Message):
                yield from _parameters(part)


def _texts(pipeline: pipeline_pb2.Pipeline) -> Iterator[tuple[Any, str]]:
    """Yields the message and the field of each text that may hold run-time values."""
    for node in pipeline.nodes:
        for value in node.pipeline_node.parameters.parameters.values():
            yield value.field_value, "string_value"
        for graph in node.pipeline_node.inputs.input_graphs.values():
            for step in graph.nodes.values():
                yield from ((argument.value.field_value, "string_value") for argument in step.op_node.kwargs.values())


def _json(text: str) -> Any:
    """The JSON object or list that a text holds; the text itself where it holds none."""
    try:
        return json.loads(text) if text.startswith(("{", "[")) else text
    except ValueError:
        return text

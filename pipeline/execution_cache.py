"""The execution cache of a pipeline's nodes, asked with ml_metadata alone.

TFX's launcher asks its own cache too, but importing it takes TensorFlow and about ten seconds. This one holds the same
facts under a key of its own, a context of the type `CONTEXT_TYPE` in the metadata store. It is asked first; TFX runs or
finds what it does not know, and that is remembered here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from components.champion import looks
from components.champion.choice import champion_uri
from components.champion.lineage import model_to_learn_from, run_to_start_from
from components.champion.training_data import champion_statistics
from components.example_gen.modalities import MODALITIES
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import data_fingerprint
from finetune.buckets import folder
from pipeline.code_digest import node_digest
from pipeline.run_metadata import NODE, RUN, has_succeeded, latest_execution, put_context

CONTEXT_TYPE = "finetune_execution_cache"

_CHAMPION = "components.champion.resolver.ChampionStrategy"
_TRAINING_DATA = "components.champion.resolver.TrainingDataStrategy"
_TEACHER = "components.champion.teacher_resolver.TeacherStrategy"
_WARM_START = "components.champion.warm_start_resolver.WarmStartStrategy"
_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.INTERNAL_INPUT)
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)


def cache_key(store: mlmd.MetadataStore, single: pipeline_pb2.Pipeline) -> str | None:
    """Returns what decides about the outputs of a node, as a digest: what TFX's own key holds.

    That is the node's type, parameters, executor and outputs, the artifacts that it reads, and what its driver or
    resolver looks up elsewhere: the fingerprint of the data, the champion among the pushed models.

    Args:
        store: Holds what the nodes before it left in the same run.
        single: A pipeline of the node alone, resolved.

    Returns:
        The key; None where this module cannot tell, so that TFX has to.
    """
    (wrapped,) = single.nodes
    node = wrapped.pipeline_node
    is_plain = all(one.WhichOneof("value") == "field_value" for one in node.parameters.parameters.values())
    inputs = _inputs(store, single) if is_plain and node.execution_options.caching_options.enable_cache else None
    elsewhere = None if inputs is None else _looked_up(store, single, inputs)
    if elsewhere is None:
        return None
    facts = [
        _text(single.pipeline_info),
        _text(node.node_info),
        _executor(single),
        _text(node.parameters),
        _text(node.outputs),
        inputs,
        elsewhere,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def reuse(store: mlmd.MetadataStore, single: pipeline_pb2.Pipeline, key: str) -> bool:
    """Records the latest execution of that key whose outputs are still there as this run's own, as TFX's launcher does.

    Returns:
        Whether there is such an execution.
    """
    context = store.get_context_by_type_and_name(CONTEXT_TYPE, key)
    executions = store.get_executions_by_context(context.id) if context else []
    for execution in sorted(executions, key=lambda one: one.id, reverse=True):
        events = store.get_events_by_execution_ids([execution.id])
        artifacts = {one.id: one for one in store.get_artifacts_by_id([event.artifact_id for event in events])}
        outputs = [artifacts[event.artifact_id] for event in events if event.type in _OUTPUTS]
        if has_succeeded(execution) and all(_is_there(artifact) for artifact in outputs):
            _publish(store, single, execution, [(artifacts[event.artifact_id], event) for event in events])
            return True
    return False


def remember(store: mlmd.MetadataStore, single: pipeline_pb2.Pipeline, key: str) -> None:
    """Files the execution of a node in this run under its key."""
    execution = latest_execution(store, _run_id(single), node_name(single))
    if execution is not None and has_succeeded(execution):
        context_id = put_context(store, CONTEXT_TYPE, key).id
        association = metadata_store_pb2.Association(execution_id=execution.id, context_id=context_id)
        store.put_attributions_and_associations([], [association])


def node_name(single: pipeline_pb2.Pipeline) -> str:
    """Returns the name of a pipeline's only node in the store, `<pipeline>.<node id>`."""
    return f"{single.pipeline_info.id}.{single.nodes[0].pipeline_node.node_info.id}"


def _run_id(single: pipeline_pb2.Pipeline) -> str:
    return str(single.runtime_spec.pipeline_run_id.field_value.string_value)


def _inputs(store: mlmd.MetadataStore, single: pipeline_pb2.Pipeline) -> dict[str, list[int]] | None:
    """The ids of the artifacts of each input; what a resolver finds by itself is none. None if the node has others."""
    found: dict[str, list[int]] = {}
    for name, spec in single.nodes[0].pipeline_node.inputs.inputs.items():
        if spec.HasField("input_graph_ref"):
            continue
        if not spec.channels:
            return None
        for channel in spec.channels:
            names = {query.type.name: query.name.field_value.string_value for query in channel.context_queries}
            if names.get(RUN) == _run_id(single) and NODE in names:
                found.setdefault(name, []).extend(_outputs(store, names[RUN], names[NODE], channel.output_key))
            elif not spec.hidden:
                return None
    return found


def _outputs(store: mlmd.MetadataStore, run_id: str, node: str, key: str) -> list[int]:
    """The ids of the artifacts that a node left in a run under an output key, in their order."""
    execution = latest_execution(store, run_id, node)
    if execution is None or not has_succeeded(execution):
        return []
    found = []
    for event in store.get_events_by_execution_ids([execution.id]):
        steps = event.path.steps  # a key and an index by turns
        names = zip(steps[::2], steps[1::2], strict=True) if event.type in _OUTPUTS else ()
        found += [(index.index, event.artifact_id) for name, index in names if name.key == key]
    return [artifact_id for _, artifact_id in sorted(found)]


def _looked_up(store: mlmd.MetadataStore, single: pipeline_pb2.Pipeline, inputs: Mapping[str, list[int]]) -> str | None:
    """What a node's driver or resolver reads beside artifacts; "" for a node without, None for one unknown here."""
    node = single.nodes[0].pipeline_node
    deployment = _deployment(single)
    if node.node_info.id in deployment.custom_driver_specs:
        modality = next((one for one in MODALITIES.values() if one.node_id == node.node_info.id), None)
        values = {name: value.field_value.string_value for name, value in node.parameters.parameters.items()}
        if modality is None or "settings" not in values:
            return None
        settings = IngestSettings.from_json(values["settings"])
        return data_fingerprint(values["root"], settings, partial(modality.fingerprint, settings=settings))
    operations = [step.op_node for graph in node.inputs.input_graphs.values() for step in graph.nodes.values()]
    operations = [operation for operation in operations if operation.op_type]
    if not operations:
        # Without an executor: an Importer, which looks at what is in the store.
        return "" if node.node_info.id in deployment.executor_specs else None
    kind = operations[0].op_type
    if len(operations) > 1 or kind not in _FOUND_BY:
        return None
    said = {name: one.value.field_value.string_value for name, one in operations[0].kwargs.items()}
    directory = folder(said.pop("push_directory"))
    ids = [one for each in inputs.values() for one in each]
    found = _FOUND_BY[kind](store, directory, ids)
    return f"{node_digest([kind.rpartition('.')[0]])} {json.dumps(said, sort_keys=True)} {found}"


def _start(store: mlmd.MetadataStore, directory: Path, examples: Collection[int]) -> str:
    """The champion, and what a training on some examples begins with."""
    champion = champion_uri(directory, (), lambda uri: bool(store.get_artifacts_by_uri(uri)))
    (model, *_) = store.get_artifacts_by_uri(champion) if champion else [None]
    return f"{champion} {run_to_start_from(store, model.id, examples) if model else None}"


def _teacher(store: mlmd.MetadataStore, directory: Path, examples: Collection[int]) -> str:
    """The model that teaches a training on some examples."""
    champion = champion_uri(directory, (), lambda uri: bool(store.get_artifacts_by_uri(uri)))
    (model, *_) = store.get_artifacts_by_uri(champion) if champion else [None]
    return str(model_to_learn_from(store, model.id, examples) if model else None)


def _champion(store: mlmd.MetadataStore, directory: Path, candidates: Collection[int]) -> str:
    """The champion beside some models, and the looks before theirs."""
    uris = {one.uri for one in store.get_artifacts_by_id(list(candidates))}
    champion = champion_uri(directory, uris, lambda uri: bool(store.get_artifacts_by_uri(uri)))
    verdicts = [
        (one.id, *(one.custom_properties[name].string_value for name in (looks.MODEL_URI, looks.CHAMPION_URI)))
        for one in store.get_artifacts_by_type(looks.VERDICT_TYPE)
        if one.state == metadata_store_pb2.Artifact.LIVE
    ]
    return f"{champion} {looks.before(verdicts, uris, champion)}"


# What each resolver looks up, for the artifacts that it reads.
_FOUND_BY: dict[str, Callable[[mlmd.MetadataStore, Path, Collection[int]], object]] = {
    _CHAMPION: _champion,
    _TEACHER: _teacher,
    _WARM_START: _start,
    _TRAINING_DATA: champion_statistics,
}


def _deployment(single: pipeline_pb2.Pipeline) -> pipeline_pb2.IntermediateDeploymentConfig:
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    single.deployment_config.Unpack(deployment)
    return deployment


def _executor(single: pipeline_pb2.Pipeline) -> str:
    """The executor's class; where Beam runs it makes no difference to what comes out."""
    packed = _deployment(single).executor_specs.get(single.nodes[0].pipeline_node.node_info.id)
    beam = executable_spec_pb2.BeamExecutableSpec()
    if packed is None:
        return ""
    return _text(beam.python_executor_spec) if packed.Unpack(beam) else str(packed.value.hex())


def _text(message: Any) -> str:
    return str(message.SerializeToString(deterministic=True).hex())


def _is_there(artifact: metadata_store_pb2.Artifact) -> bool:
    return artifact.state == metadata_store_pb2.Artifact.LIVE and os.path.exists(artifact.uri)


def _publish(
    store: mlmd.MetadataStore,
    single: pipeline_pb2.Pipeline,
    earlier: metadata_store_pb2.Execution,
    events: list[tuple[metadata_store_pb2.Artifact, metadata_store_pb2.Event]],
) -> None:
    """Writes a cached execution into this run, with the inputs and outputs of an earlier one."""
    execution = metadata_store_pb2.Execution(
        type_id=earlier.type_id,
        name=str(uuid.uuid4()),
        last_known_state=metadata_store_pb2.Execution.CACHED,
        properties=earlier.properties,
        custom_properties=earlier.custom_properties,
    )
    contexts = [one for one in store.get_contexts_by_execution(earlier.id) if one.type != RUN]
    run = store.get_context_by_type_and_name(RUN, _run_id(single))
    if run is None:
        run = put_context(store, RUN, _run_id(single))
        (pipeline,) = [one.id for one in contexts if one.type == "pipeline"]
        with contextlib.suppress(mlmd.errors.AlreadyExistsError):
            store.put_parent_contexts([metadata_store_pb2.ParentContext(child_id=run.id, parent_id=pipeline)])
    pairs = [
        (artifact, metadata_store_pb2.Event(artifact_id=artifact.id, type=event.type, path=event.path))
        for artifact, event in events
        if event.type in (*_INPUTS, *_OUTPUTS)
    ]
    store.put_execution(execution, pairs, [*contexts, run], reuse_context_if_already_exist=True)

"""What MLMD knows of one run: the state of each node, and the artifacts that it left."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri
from finetune.artifacts.pushed_version import PENDING_MODEL
from finetune.artifacts.run_summary import ComponentRun
from finetune.errors import RunError
from finetune.events import State
from pipeline.metadata_connection import is_missing
from pipeline.metadata_tls import check_certificate
from pipeline.run_ids import new_run_id, run_id_of, start_of

# The types of the contexts that say in which run, and as which node, an execution was.
RUN, NODE = "pipeline_run", "node"
# Of a run.
_FAILURE, _FAILURE_CODE = "failure", "failure_exit_code"

# As often as TFX's `Metadata`.
_ATTEMPTS = 10
_DONE = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class RunMetadata:
    """Reads the metadata of a run."""

    def __init__(self, connection: metadata_store_pb2.ConnectionConfig, run_id: str):
        self._connection = connection
        self._run_id = run_id

    def outputs(self) -> dict[str, dict[str, metadata_store_pb2.Artifact]]:
        """The output artifacts of each node by output name; nodes that did not succeed are left out."""
        outputs: dict[str, dict[str, metadata_store_pb2.Artifact]] = {}
        store = self._store()
        if store is None:
            return outputs
        for node, execution in _executions(store, self._run_id):
            if has_succeeded(execution):
                outputs[_node_id(node)] = artifacts_of(store, execution, metadata_store_pb2.Event.OUTPUT)
        return outputs

    def folder(self) -> str:
        """Returns the name of the run's folder, see `folder_of_run`; of now, where the store does not know the run."""
        context = self._context()
        return folder_of_run(context) if context is not None else new_run_id()

    def components(self) -> list[ComponentRun]:
        """The nodes that have begun, in their order, each as it ended last; what is still going on has failed."""
        store = self._store()
        found: dict[str, ComponentRun] = {}
        executions = list(_executions(store, self._run_id)) if store else []
        for node, one in sorted(executions, key=lambda pair: int(pair[1].id)):
            state: State = "cached" if one.last_known_state == metadata_store_pb2.Execution.CACHED else "ran"
            seconds = (one.last_update_time_since_epoch - one.create_time_since_epoch) / 1000
            found[_node_id(node)] = ComponentRun(
                id=_node_id(node), seconds=round(seconds, 2), state=state if has_succeeded(one) else "failed"
            )
        return list(found.values())

    def failure(self) -> tuple[str, int]:
        """Why a task of the run failed last, and its exit code; "" and 0 where none said so."""
        context = self._context()
        said = context.custom_properties if context is not None else {}
        return (said[_FAILURE].string_value, said[_FAILURE_CODE].int_value) if _FAILURE in said else ("", 0)

    def _context(self) -> metadata_store_pb2.Context | None:
        store = self._store()
        return store.get_context_by_type_and_name(RUN, self._run_id) if store else None

    def champion_stays(self, push_directory: Path) -> bool:
        """Tells whether a run from now on would compare this run's model with the champion that this run had.

        Args:
            push_directory: The folder of pushed versions.
        """
        store = self._store()
        if store is None:
            return False
        (evaluation,) = (one for node, one in _executions(store, self._run_id) if _node_id(node) == "Evaluator")
        inputs = artifacts_of(store, evaluation, metadata_store_pb2.Event.INPUT)
        had = inputs["baseline_model"].uri if "baseline_model" in inputs else None
        known = {artifact.uri for artifact in store.get_artifacts_by_type("Model")}
        return champion_uri(push_directory, {inputs["model"].uri}, known.__contains__) == had

    def _store(self) -> mlmd.MetadataStore | None:
        return None if is_missing(self._connection) else open_store(self._connection)


def open_store(connection: metadata_store_pb2.ConnectionConfig) -> mlmd.MetadataStore:
    """Returns the metadata store of a connection, once processes that create it at the same time are out of the way.

    Raises:
        ConfigError: It is not the server that FINETUNE_MLMD_CA vouches for.
        RunError: It cannot be opened.
    """
    server = connection.mysql
    if server.ssl_options.ca:
        check_certificate(server.host, server.port, server.ssl_options.ca)
    for attempt in range(_ATTEMPTS):
        try:
            return mlmd.MetadataStore(connection)
        except RuntimeError as error:
            if attempt == _ATTEMPTS - 1:
                raise RunError(f"the metadata store cannot be opened: {error}") from error
            time.sleep(random.random())
    raise AssertionError


def has_succeeded(execution: metadata_store_pb2.Execution) -> bool:
    """Returns whether an execution ran to its end, or was served from a cache."""
    return execution.last_known_state in _DONE


def latest_execution(store: mlmd.MetadataStore, run_id: str, node: str) -> metadata_store_pb2.Execution | None:
    """Returns the latest execution of a node, `<pipeline>.<node id>`, in a run; None where there is none."""
    own = [execution for name, execution in _executions(store, run_id) if name == node]
    return max(own, key=lambda execution: execution.id, default=None)


def pushed_state(
    connection: metadata_store_pb2.ConnectionConfig, run_id: str, pusher: str
) -> Literal["pushed", "pending", "refused"]:
    """Returns what became of a run's model, from what its Pusher left.

    Args:
        connection: Of the metadata store.
        run_id: TFX's pipeline run id.
        pusher: Name of the Pusher in the store; it has run, or was taken from the cache.
    """
    store = open_store(connection)
    latest = latest_execution(store, run_id, pusher)
    if latest is None:
        raise RunError(f"{pusher}: the metadata store has no execution of it in this run.")
    properties = artifacts_of(store, latest, metadata_store_pb2.Event.OUTPUT)["pushed_model"].custom_properties
    waiting = properties[PENDING_MODEL].string_value
    if waiting and Path(waiting).is_dir():
        return "pending"
    # One that waited and is gone has been approved since.
    return "pushed" if waiting or properties["pushed_destination"].string_value else "refused"


def end_executions(
    connection: metadata_store_pb2.ConnectionConfig, run_id: str, nodes: Collection[str] | None = None
) -> None:
    """Marks as failed what a run's nodes were doing when their process died; nobody else would.

    Args:
        connection: Of the metadata store.
        run_id: TFX's pipeline run id.
        nodes: Names in the store, `<pipeline>.<node id>`; None for all.
    """
    store = open_store(connection)
    running = [
        execution
        for name, execution in _executions(store, run_id)
        if (nodes is None or name in nodes) and execution.last_known_state == metadata_store_pb2.Execution.RUNNING
    ]
    for execution in running:
        execution.last_known_state = metadata_store_pb2.Execution.FAILED
    store.put_executions(running)


def put_context(store: mlmd.MetadataStore, kind: str, name: str) -> metadata_store_pb2.Context:
    """Returns the context of that type and name, made when absent; another process may make it at the same time."""
    type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
    with contextlib.suppress(mlmd.errors.AlreadyExistsError):
        store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=name)])
    return store.get_context_by_type_and_name(kind, name)


def note_failure(connection: metadata_store_pb2.ConnectionConfig, run_id: str, sentence: str, exit_code: int) -> None:
    """Leaves in a run why one of its tasks failed; the latest stays."""
    store = open_store(connection)
    context = put_context(store, RUN, run_id)
    context.custom_properties[_FAILURE].string_value = sentence
    context.custom_properties[_FAILURE_CODE].int_value = exit_code
    store.put_contexts([context])


def folder_of_run(context: metadata_store_pb2.Context) -> str:
    """Returns the name of a run's folder: its id, or for one that says no time, an id of when it began."""
    if start_of(context.name):
        return str(context.name)
    return run_id_of(datetime.fromtimestamp(context.create_time_since_epoch / 1000, timezone.utc))


def _executions(store: mlmd.MetadataStore, run_id: str) -> Iterator[tuple[str, metadata_store_pb2.Execution]]:
    """Yields the executions of a run, each with the name of its node."""
    run = store.get_context_by_type_and_name(RUN, run_id)
    for execution in store.get_executions_by_context(run.id) if run else []:
        contexts = store.get_contexts_by_execution(execution.id)
        yield next(context.name for context in contexts if context.type == NODE), execution


def _node_id(node: str) -> str:
    """The node's id, from its name in the store."""
    return node.rsplit(".", 1)[-1]


def artifacts_of(
    store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution, event_type: int
) -> dict[str, metadata_store_pb2.Artifact]:
    """Returns what an execution took or gave, by name."""
    events = [event for event in store.get_events_by_execution_ids([execution.id]) if event.type == event_type]
    artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
    by_id = {artifact.id: artifact for artifact in artifacts}
    return {event.path.steps[0].key: by_id[event.artifact_id] for event in events}


def state_of(connection: metadata_store_pb2.ConnectionConfig, run_id: str, node: str) -> Literal["ran", "cached"]:
    """Returns what became of a node, by its latest execution in a run.

    Args:
        connection: Of the metadata store.
        run_id: TFX's pipeline run id.
        node: Its name in the store, `<pipeline>.<node id>`.

    Raises:
        RunError: It did not run to its end; TFX does not always raise an exception then.
    """
    latest = latest_execution(open_store(connection), run_id, node)
    if latest is not None and has_succeeded(latest):
        return "cached" if latest.last_known_state == metadata_store_pb2.Execution.CACHED else "ran"
    reason = latest.custom_properties["__execution_result__"].string_value if latest is not None else "no execution"
    raise RunError(
        f"{node}: TFX did not run it to its end ({reason or 'no reason given'}). It reads what the nodes before it "
        "left in the same run: have they all run against this metadata store?"
    )

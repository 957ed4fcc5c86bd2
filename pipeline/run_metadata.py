"""What MLMD knows of one run: the state of each node, and the artifacts that it left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri
from finetune.errors import RunError

_DONE = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class RunMetadata:
    """Reads the metadata of a run from the local SQLite store."""

    def __init__(self, database: Path, run_id: str):
        self._database = database
        self._run_id = run_id

    def outputs(self) -> dict[str, dict[str, metadata_store_pb2.Artifact]]:
        """The output artifacts of each node by output name; nodes that did not succeed are left out."""
        outputs: dict[str, dict[str, metadata_store_pb2.Artifact]] = {}
        store = self._store()
        if store is None:
            return outputs
        for node, execution in self._executions(store):
            if execution.last_known_state in _DONE:
                outputs[node] = _artifacts(store, execution, metadata_store_pb2.Event.OUTPUT)
        return outputs

    def champion_stays(self, push_directory: Path) -> bool:
        """Tells whether a run from now on would compare this run's model with the champion that this run had.

        Args:
            push_directory: The folder of pushed versions.
        """
        store = self._store()
        if store is None:
            return False
        (evaluation,) = (execution for node, execution in self._executions(store) if node == "Evaluator")
        inputs = _artifacts(store, evaluation, metadata_store_pb2.Event.INPUT)
        had = inputs["baseline_model"].uri if "baseline_model" in inputs else None
        known = {artifact.uri for artifact in store.get_artifacts_by_type("Model")}
        return champion_uri(push_directory, {inputs["model"].uri}, known.__contains__) == had

    def _store(self) -> mlmd.MetadataStore | None:
        if not self._database.exists():
            return None
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(self._database)
        return mlmd.MetadataStore(connection)

    def _executions(self, store: mlmd.MetadataStore) -> Iterator[tuple[str, metadata_store_pb2.Execution]]:
        context = store.get_context_by_type_and_name("pipeline_run", self._run_id)
        if context is None:
            return
        for execution in store.get_executions_by_context(context.id):
            contexts = store.get_contexts_by_execution(execution.id)
            yield next(c.name.rsplit(".", 1)[-1] for c in contexts if c.type == "node"), execution


def _artifacts(
    store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution, event_type: int
) -> dict[str, metadata_store_pb2.Artifact]:
    """What an execution took or gave, by name."""
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
    store = mlmd.MetadataStore(connection)
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = store.get_executions_by_context(run.id) if run else []
    own = [
        execution
        for execution in executions
        if any(context.name == node for context in store.get_contexts_by_execution(execution.id))
    ]
    latest = max(own, key=lambda execution: execution.id, default=None)
    if latest is not None and latest.last_known_state in _DONE:
        return "cached" if latest.last_known_state == metadata_store_pb2.Execution.CACHED else "ran"
    reason = latest.custom_properties["__execution_result__"].string_value if latest is not None else "no execution"
    raise RunError(
        f"{node}: TFX did not run it to its end ({reason or 'no reason given'}). It reads what the nodes before it "
        "left in the same run: have they all run against this metadata store?"
    )

"""What MLMD knows of one run: the state of each node, and the artifacts that it left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_DONE = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class RunMetadata:
    """Reads the metadata of a run from the local SQLite store."""

    def __init__(self, database: Path, run_id: str):
        self._database = database
        self._run_id = run_id

    def is_cached(self, node_id: str) -> bool:
        """Whether the node's outputs were those of an earlier run."""
        return any(
            node == node_id and execution.last_known_state == metadata_store_pb2.Execution.CACHED
            for node, execution in self._executions(self._store())
        )

    def outputs(self) -> dict[str, dict[str, metadata_store_pb2.Artifact]]:
        """The output artifacts of each node by output name; nodes that did not succeed are left out."""
        outputs: dict[str, dict[str, metadata_store_pb2.Artifact]] = {}
        store = self._store()
        if store is None:
            return outputs
        for node, execution in self._executions(store):
            if execution.last_known_state in _DONE:
                events = [
                    event
                    for event in store.get_events_by_execution_ids([execution.id])
                    if event.type == metadata_store_pb2.Event.OUTPUT
                ]
                artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
                by_id = {artifact.id: artifact for artifact in artifacts}
                outputs[node] = {event.path.steps[0].key: by_id[event.artifact_id] for event in events}
        return outputs

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

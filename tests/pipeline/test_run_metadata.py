"""What the metadata store says of a node, which TFX's launcher does not always say itself."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from finetune.errors import RunError
from pipeline.run_metadata import state_of

States = metadata_store_pb2.Execution


@pytest.fixture
def connection(tmp_path: Path) -> metadata_store_pb2.ConnectionConfig:
    made = metadata_store_pb2.ConnectionConfig()
    made.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    return made


def record(connection: metadata_store_pb2.ConnectionConfig, node: str, state: int, result: str = "") -> None:
    """Writes an execution of a node in the run `run`, as TFX's launcher does."""
    store = mlmd.MetadataStore(connection)
    contexts = []
    for kind, name in (("pipeline_run", "run"), ("node", node)):
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name=kind))
        contexts.append(
            store.get_context_by_type_and_name(kind, name) or metadata_store_pb2.Context(type_id=type_id, name=name)
        )
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="work"))
    execution = metadata_store_pb2.Execution(type_id=type_id, last_known_state=state)
    execution.custom_properties["__execution_result__"].string_value = result
    store.put_execution(execution, [], contexts)


def test_the_latest_execution_counts(connection: metadata_store_pb2.ConnectionConfig):
    record(connection, "p.Trainer", States.FAILED)
    record(connection, "p.Trainer", States.COMPLETE)
    record(connection, "p.Pusher", States.CACHED)
    assert (state_of(connection, "run", "p.Trainer"), state_of(connection, "run", "p.Pusher")) == ("ran", "cached")


def test_a_node_that_failed_without_an_exception_is_an_error(connection: metadata_store_pb2.ConnectionConfig):
    record(connection, "p.ChampionResolver", States.FAILED, "no such folder")
    with pytest.raises(RunError, match=r"p\.ChampionResolver: TFX did not run it to its end \(no such folder\)"):
        state_of(connection, "run", "p.ChampionResolver")


def test_a_node_that_did_not_run_is_an_error(connection: metadata_store_pb2.ConnectionConfig):
    record(connection, "p.Trainer", States.COMPLETE)
    for run, node in (("run", "p.Pusher"), ("other run", "p.Trainer")):
        with pytest.raises(RunError, match="no execution"):
            state_of(connection, run, node)

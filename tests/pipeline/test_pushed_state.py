"""What the metadata store says of a run: what became of its model, and what its dead processes were doing."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from finetune.artifacts.pushed_version import PENDING_MODEL
from finetune.errors import RunError
from pipeline.run_metadata import end_executions, latest_execution, pushed_state

PUSHER = "small.Pusher"
Execution = metadata_store_pb2.Execution


@pytest.fixture
def connection(tmp_path: Path) -> metadata_store_pb2.ConnectionConfig:
    made = metadata_store_pb2.ConnectionConfig()
    made.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    made.sqlite.connection_mode = made.sqlite.READWRITE_OPENCREATE
    return made


def execute(connection: metadata_store_pb2.ConnectionConfig, state: int, **properties: str) -> None:
    """Leaves an execution of the Pusher in the run `one`, with an artifact of these custom properties."""
    store = mlmd.MetadataStore(connection)
    execution = Execution(
        type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name="Pusher")), last_known_state=state
    )
    artifact = metadata_store_pb2.Artifact(
        type_id=store.put_artifact_type(metadata_store_pb2.ArtifactType(name="PushedModel"))
    )
    for name, text in properties.items():
        artifact.custom_properties[name].string_value = text
    event = metadata_store_pb2.Event(type=metadata_store_pb2.Event.OUTPUT)
    event.path.steps.add().key = "pushed_model"
    contexts = [
        metadata_store_pb2.Context(type_id=store.put_context_type(metadata_store_pb2.ContextType(name=kind)), name=name)
        for kind, name in (("pipeline_run", "one"), ("node", PUSHER))
    ]
    store.put_execution(execution, [(artifact, event)], contexts)


def test_what_became_of_a_model(connection, tmp_path: Path):
    def state(**properties: str) -> str:
        Path(connection.sqlite.filename_uri).unlink(missing_ok=True)
        execute(connection, Execution.COMPLETE, **properties)
        return pushed_state(connection, "one", PUSHER)

    assert state() == "refused"
    assert state(pushed_destination="pushed/1") == "pushed"
    assert state(**{PENDING_MODEL: str(tmp_path)}) == "pending"
    assert state(**{PENDING_MODEL: str(tmp_path / "approved-since")}) == "pushed"
    with pytest.raises(RunError, match="no execution of it in this run"):
        pushed_state(connection, "another", PUSHER)


@pytest.mark.parametrize(
    ("state", "nodes", "after"),
    [
        (Execution.RUNNING, [PUSHER], Execution.FAILED),
        (Execution.RUNNING, ["small.Trainer"], Execution.RUNNING),
        (Execution.COMPLETE, [PUSHER], Execution.COMPLETE),
    ],
)
def test_what_a_dead_process_was_doing_is_marked_as_failed(connection, state: int, nodes: list[str], after: int):
    execute(connection, state)
    end_executions(connection, "one", nodes)
    assert latest_execution(mlmd.MetadataStore(connection), "one", PUSHER).last_known_state == after

"""What the champion was trained on: found by the lineage of what is served, and never what this run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.artifacts.pushed_version import PushRecord
from registry.versions import push_version, roll_back

pytest.importorskip("ml_metadata")

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.training_data import champion_statistics

Event = metadata_store_pb2.Event


class Store:
    """A metadata store in memory, in which runs leave what a pipeline would."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.store = mlmd.MetadataStore(metadata_store_pb2.ConnectionConfig(fake_database={}))
        self.made = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="node"))

    def artifact(self, kind: str, name: str) -> int:
        (self.folder / name).mkdir(parents=True)
        type_id = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        artifact = metadata_store_pb2.Artifact(
            type_id=type_id, uri=str(self.folder / name), state=metadata_store_pb2.Artifact.LIVE
        )
        return self.store.put_artifacts([artifact])[0]

    def node(self, inputs: list[int], outputs: list[int]) -> None:
        execution = self.store.put_executions([metadata_store_pb2.Execution(type_id=self.made)])[0]
        sides = [(one, Event.INPUT) for one in inputs] + [(one, Event.OUTPUT) for one in outputs]
        self.store.put_events([Event(artifact_id=one, execution_id=execution, type=side) for one, side in sides])

    def run(self, name: str, champion: int | None = None, gated: bool = False) -> int:
        """Leaves data, statistics and a model of a run; returns the id of the statistics."""
        examples, transformed = self.artifact("Examples", f"{name}/raw"), self.artifact("Examples", f"{name}/made")
        statistics = self.artifact("ExampleStatistics", f"{name}/statistics")
        self.node([], [examples])
        self.node([examples], [statistics])
        self.node([examples], [transformed])
        if gated:
            trained_on = self.artifact("Examples", f"{name}/trained_on")
            self.node([examples, transformed, *([champion] if champion else [])], [trained_on])
            transformed = trained_on
        self.node([transformed], [self.artifact("Model", f"{name}/model")])
        (self.folder / name / "model" / "saved_model.pb").write_text(name)
        return statistics

    @property
    def pushed(self) -> Path:
        return self.folder / "pushed"

    def push(self, name: str) -> None:
        model = self.folder / name / "model"
        push_version(model, self.pushed, record=PushRecord(model_uri=str(model)))

    def found(self, *current: int) -> int | None:
        return champion_statistics(self.store, self.pushed, current)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_without_a_champion_there_are_none(store: Store):
    first = store.run("first")
    assert store.found(first) is None
    assert store.found() is None


def test_they_are_those_of_the_version_that_is_served(store: Store):
    first, second, third = (store.run(name) for name in ("first", "second", "third"))
    store.push("first")
    assert store.found(third) == first, "second was trained later, and not pushed"
    store.push("second")
    assert store.found(third) == second
    roll_back(store.pushed)
    assert store.found(third) == first


def test_the_store_is_asked_no_more_often_after_many_runs(store: Store, monkeypatch: pytest.MonkeyPatch):
    def asked() -> int:
        calls = []
        with monkeypatch.context() as patched:
            for name in ("get_artifacts_by_id", "get_events_by_artifact_ids", "get_events_by_execution_ids"):
                own = getattr(store.store, name)
                patched.setattr(store.store, name, lambda *args, own=own: calls.append(args) or own(*args))
            patched.delattr(type(store.store), "get_artifacts_by_type")
            store.found()
        return len(calls)

    store.run("first")
    store.push("first")
    early = asked()
    for number in range(10):
        store.run(f"later{number}")
    assert asked() == early


def test_a_champion_on_the_same_examples_is_passed_over_so_that_a_run_again_sees_what_it_saw(store: Store):
    first = store.run("first")
    assert store.found(first) is None
    store.push("first")
    assert store.found(first) is None
    second = store.run("second", champion=first)
    assert store.found(second) == first
    store.push("second")
    assert store.found(second) == first


def test_what_an_earlier_check_of_the_data_knew_is_none_of_what_was_trained_on(store: Store):
    first = store.run("first")
    second = store.run("second", champion=first, gated=True)
    third = store.run("third", champion=second, gated=True)
    store.push("third")
    assert store.found() == third


def test_what_is_gone_or_in_no_lineage_is_not_found(store: Store):
    store.run("first")
    store.push("first")
    (store.folder / "first" / "statistics").rmdir()
    assert store.found() is None
    (store.folder / "elsewhere" / "model").mkdir(parents=True)
    (store.folder / "elsewhere" / "model" / "saved_model.pb").write_text("x")
    store.push("elsewhere")
    assert store.found() is None

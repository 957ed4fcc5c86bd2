"""What a warm start begins with: the champion's run, unless the champion was trained on the same examples."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.champion.lineage import run_to_start_from
from finetune.artifacts.pushed_version import PushRecord
from registry.versions import push_version, roll_back

EVENT = metadata_store_pb2.Event


class Lineage:
    """A metadata store with trainings in it."""

    def __init__(self) -> None:
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = mlmd.MetadataStore(config)
        self.types = {
            name: self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=name))
            for name in ("Examples", "Model", "ModelRun")
        }
        self.trainer = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))

    def artifact(self, kind: str, uri: str = "/somewhere") -> int:
        (made,) = self.store.put_artifacts([metadata_store_pb2.Artifact(type_id=self.types[kind], uri=uri)])
        return int(made)

    def execution(self, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        (made,) = self.store.put_executions([metadata_store_pb2.Execution(type_id=self.trainer)])
        events = []
        for kind, artifacts in ((EVENT.INPUT, inputs), (EVENT.OUTPUT, outputs)):
            for key, artifact in artifacts.items():
                steps = [EVENT.Path.Step(key=key), EVENT.Path.Step(index=0)]
                events.append(EVENT(execution_id=made, artifact_id=artifact, type=kind, path=EVENT.Path(steps=steps)))
        self.store.put_events(events)

    def trained(self, examples: int, champion: int | None = None, uri: str = "/model") -> tuple[int, int]:
        """A training, once run and once taken from the cache; ids of its model and its run."""
        model, run = self.artifact("Model", uri), self.artifact("ModelRun")
        inputs = {"examples": examples, **({"champion": champion} if champion else {})}
        for _ in range(2):
            self.execution(inputs, {"model": model, "model_run": run})
        return model, run


def test_it_begins_with_the_champion_on_other_examples_and_where_the_champion_began_on_the_same():
    known = Lineage()
    old, new, newer = (known.artifact("Examples") for _ in range(3))
    first, first_run = known.trained(old)
    second, second_run = known.trained(new, champion=first_run)
    assert run_to_start_from(known.store, first, [new]) == first_run
    assert run_to_start_from(known.store, first, [old]) is None, "it began with the backbone"
    assert run_to_start_from(known.store, second, [newer]) == second_run
    assert run_to_start_from(known.store, second, [new]) == first_run
    assert run_to_start_from(known.store, known.artifact("Model"), [new]) is None, "no training made it"


def test_the_node_follows_the_folder_of_versions(tmp_path):
    pytest.importorskip("tfx")
    from tfx.types import standard_artifacts

    from components.champion.warm_start_resolver import WarmStartStrategy

    known = Lineage()
    examples = known.artifact("Examples")
    models, runs = [], []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saved_model.pb").write_text(name)
        trained = known.trained(known.artifact("Examples"), uri=str(folder))
        for made, number, kind in zip(
            (models, runs), trained, (standard_artifacts.Model, standard_artifacts.ModelRun), strict=True
        ):
            made.append(kind())
            made[-1].id, made[-1].uri = number, str(folder)
    of_data = standard_artifacts.Examples()
    of_data.id = examples

    def found(start_from: str = "champion") -> list[int]:
        given = {"model": models, "model_run": runs, "examples": [of_data]}
        resolved = WarmStartStrategy(str(tmp_path / "pushed"), start_from).resolve_artifacts(known.store, given)
        assert resolved["examples"] == [of_data]
        return [run.id for run in resolved["model_run"]]

    assert found() == []
    for model in models:
        push_version(Path(model.uri), tmp_path / "pushed", record=PushRecord(model_uri=model.uri))
    assert found() == [runs[1].id]
    assert found("backbone") == []
    roll_back(tmp_path / "pushed")
    assert found() == [runs[0].id]

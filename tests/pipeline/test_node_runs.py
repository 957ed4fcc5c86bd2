"""Nodes run by TFX's launcher or taken from the execution cache, which has to agree with TFX's own."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
import small_components
from ml_metadata.proto import metadata_store_pb2

from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.run_summary import ComponentRun
from finetune.config import load_config
from finetune.run_time import ConfigValue
from finetune_kubeflow.package.runtime_keys import with_value
from pipeline import execution_cache, launch
from pipeline.dag import compile_ir
from pipeline.node_runs import readable, run_nodes
from pipeline.nodes import alone, place_at, resolved, with_metadata_connection
from pipeline.run_metadata import latest_execution

ROOT = Path(__file__).parents[2]
START = "training.start_from"


@pytest.fixture
def connection(tmp_path: Path) -> metadata_store_pb2.ConnectionConfig:
    made = metadata_store_pb2.ConnectionConfig()
    made.sqlite.filename_uri = str(tmp_path / "metadata.sqlite")
    made.sqlite.connection_mode = made.sqlite.READWRITE_OPENCREATE
    return made


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The nodes that TFX's launcher is asked to run."""
    found: list[str] = []

    def noted(single: Any, launch_it: Any = launch.launch) -> None:
        found.append(single.nodes[0].pipeline_node.node_info.id)
        launch_it(single)

    monkeypatch.setattr(launch, "launch", noted)
    return found


@pytest.fixture
def run(tmp_path: Path, connection: metadata_store_pb2.ConnectionConfig):
    def run_all(run_id: str, ended: list[ComponentRun] | None = None, **parameters: str) -> dict[str, str]:
        ended = [] if ended is None else ended
        run_nodes(small_components.compiled(**parameters), connection, place_at(tmp_path), run_id, ended)
        return {one.id: one.state for one in ended}

    return run_all


def test_a_second_run_launches_nothing(run, launched: list[str]):
    assert run("one") == {"Write": "ran", "Measure": "ran"}
    launched.clear()
    assert run("two") == run("three") == {"Write": "cached", "Measure": "cached"}
    assert launched == []


def test_only_what_has_changed_is_launched_and_finds_its_inputs(run, launched: list[str], tmp_path: Path):
    run("one")
    launched.clear()
    assert run("two", unit="characters") == {"Write": "cached", "Measure": "ran"}
    assert launched == ["Measure"]
    lengths = sorted((tmp_path / "artifacts" / "Measure" / "length").glob("*/length"))
    assert [file.read_text() for file in lengths] == ["3 letters", "3 characters"]
    launched.clear()
    assert run("three", text="abcd") == {"Write": "ran", "Measure": "ran"}
    assert launched == ["Write", "Measure"]


def test_a_result_that_is_gone_is_made_anew(run, tmp_path: Path):
    run("one")
    shutil.rmtree(tmp_path / "artifacts" / "Measure")
    assert run("two") == {"Write": "cached", "Measure": "ran"}
    assert list((tmp_path / "artifacts" / "Measure" / "length").glob("*/length"))


def test_what_tfx_finds_in_its_own_cache_is_known_from_then_on(
    run, launched: list[str], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as forgetful:
        forgetful.setattr(execution_cache, "remember", lambda *_: None)
        run("one")
    launched.clear()
    assert run("two") == {"Write": "cached", "Measure": "cached"}
    assert launched == ["Write", "Measure"]
    launched.clear()
    assert run("three") == {"Write": "cached", "Measure": "cached"}
    assert launched == []


def test_the_store_holds_what_tfx_would_have_written(
    run, connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path
):
    run("ours")
    run("ours again")
    whole = with_metadata_connection(small_components.compiled(), connection)
    for node in ("Write", "Measure"):
        launch.launch(resolved(alone(whole, node), place_at(tmp_path), "of TFX"))
    store = mlmd.MetadataStore(connection)
    for node in ("small.Write", "small.Measure"):
        assert recorded(store, "ours again", node) == recorded(store, "of TFX", node)
    parents = [store.get_parent_contexts_by_context(run_context(store, name).id) for name in ("ours again", "of TFX")]
    assert parents[0] == parents[1] != []


def run_context(store: mlmd.MetadataStore, run_id: str) -> metadata_store_pb2.Context:
    return store.get_context_by_type_and_name("pipeline_run", run_id)


def recorded(store: mlmd.MetadataStore, run_id: str, node: str) -> dict[str, Any]:
    """What the store says of a node's execution, but for its id, its name and its time."""
    execution = latest_execution(store, run_id, node)
    assert execution is not None
    events = store.get_events_by_execution_ids([execution.id])
    contexts = store.get_contexts_by_execution(execution.id)
    return {
        "type": execution.type_id,
        "state": execution.last_known_state,
        "properties": str(sorted(execution.properties.items())),
        "custom": str(sorted(execution.custom_properties.items())),
        "events": sorted((event.type, event.artifact_id, str(event.path)) for event in events),
        "contexts": sorted(
            (context.type, context.name)
            for context in contexts
            if context.type not in ("pipeline_run", execution_cache.CONTEXT_TYPE)
        ),
    }


def test_a_failure_names_its_node_and_another_attempt_runs_that_node_alone(run, launched: list[str], tmp_path: Path):
    obstacle = tmp_path / "obstacle"
    obstacle.touch()
    ended: list[ComponentRun] = []
    with pytest.raises(ValueError, match="cannot measure") as caught:
        run("one", ended, obstacle=str(obstacle))
    assert [(one.id, one.state) for one in ended] == [("Write", "ran"), ("Measure", "failed")]
    assert readable(caught.value, ended, "See above.") == "Measure: ValueError: cannot measure\nSee above."
    obstacle.unlink()
    launched.clear()
    assert run("one", obstacle=str(obstacle)) == {"Write": "cached", "Measure": "ran"}
    assert launched == ["Measure"]


def test_a_result_is_not_kept_under_a_key_of_data_that_changed_meanwhile(
    run, launched: list[str], monkeypatch: pytest.MonkeyPatch
):
    digest, times = execution_cache.cache_key, count()
    with monkeypatch.context() as changing:
        changing.setattr(execution_cache, "cache_key", lambda *node: f"{digest(*node)} at {next(times)}")
        run("one")
    launched.clear()
    run("two")
    assert launched == ["Write", "Measure"]


def key_of(node: str, folder: Path, connection: metadata_store_pb2.ConnectionConfig, *overrides: str) -> str | None:
    config = load_config(ROOT / "configs" / "digits.yaml", [f"data.root={folder}/images", *overrides])
    single = resolved(alone(compile_ir(config), node), place_at(folder), "run")
    return execution_cache.cache_key(mlmd.MetadataStore(connection), single)


def test_the_key_of_the_ingest_is_that_of_its_data(connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path):
    for picture in [tmp_path / "images" / split / "a" / "1.png" for split in ("train", "val", "test")]:
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"x")
    before = key_of("ImageExampleGen", tmp_path, connection)
    assert before == key_of("ImageExampleGen", tmp_path, connection)
    picture.write_bytes(b"xy")
    assert before != key_of("ImageExampleGen", tmp_path, connection)


def test_the_key_of_the_resolver_is_the_champion(connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path):
    before = key_of("ChampionResolver", tmp_path, connection)
    version = tmp_path / "runs" / "digits" / "pushed" / "1"
    version.mkdir(parents=True)
    PushRecord(model_uri="/models/1").write(version)
    assert key_of("ChampionResolver", tmp_path, connection) == before, "the store does not know that model"
    store = mlmd.MetadataStore(connection)
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    store.put_artifacts([metadata_store_pb2.Artifact(type_id=type_id, uri="/models/1")])
    assert key_of("ChampionResolver", tmp_path, connection) != before


@pytest.mark.parametrize(
    ("node", "override"),
    [
        ("WarmStartResolver", "training.start_from=champion"),
        ("TeacherResolver", "training.distillation.teacher=champion"),
    ],
)
def test_the_key_of_what_the_champion_gives_to_training_is_the_champion(
    connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path, node: str, override: str
):
    def key() -> str | None:
        return key_of(node, tmp_path, connection, override)

    before = key()
    version = tmp_path / "runs" / "digits" / "pushed" / "1"
    version.mkdir(parents=True)
    PushRecord(model_uri="/models/1").write(version)
    assert key() == before is not None, "the store does not know that model"
    store = mlmd.MetadataStore(connection)
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    store.put_artifacts([metadata_store_pb2.Artifact(type_id=type_id, uri="/models/1")])
    assert key() != before


def test_the_key_of_a_warm_start_is_whether_there_is_one(
    connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path
):
    config = load_config(ROOT / "configs" / "digits.yaml", [f"data.root={tmp_path}/images"])
    single = alone(compile_ir(with_value(config, START, ConfigValue(key=START))), "WarmStartResolver")
    warm, cold = (
        execution_cache.cache_key(
            mlmd.MetadataStore(connection), resolved(single, place_at(tmp_path, {START: start_from}), "run")
        )
        for start_from in ("champion", "backbone")
    )
    assert warm != cold
    assert None not in (warm, cold)


def test_the_runner_of_beam_is_in_no_key(connection: metadata_store_pb2.ConnectionConfig, tmp_path: Path):
    one, other = (key_of("StatisticsGen", tmp_path, connection, f"beam.workers={workers}") for workers in (1, 2))
    assert one == other is not None

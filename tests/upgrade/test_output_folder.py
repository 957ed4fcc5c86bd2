"""An output folder that version 0.1 made goes on with the code of today.

`output_of_0_1` was recorded from `finetune run configs/digits.yaml`: the metadata store as SQL, and the pushed version
without the bytes of its network. `{OUTPUT}` stands for the output folder, `{CHECKOUT}` for where it was recorded.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import common_utils
from tfx.types import artifact_utils, standard_artifacts

from components.champion.resolver import ChampionStrategy
from finetune.artifacts.pushed_version import ModelCard
from finetune.config import load_config
from pipeline.dag import compile_ir
from registry.versions import newest_version, push_version, read_record, roll_back, versions

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "output_of_0_1"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "digits"
    shutil.copytree(RECORDED, folder)
    places = {"{OUTPUT}": str(folder), "{CHECKOUT}": str(tmp_path)}
    sql = gzip.decompress((folder / "metadata.sql.gz").read_bytes()).decode()
    for file in folder.rglob("*.json"):
        file.write_text(_filled(file.read_text(), places))
    with closing(sqlite3.connect(folder / "metadata.sqlite")) as store:
        store.executescript(_filled(sql, places))
    return folder


def _filled(text: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(name, place)
    return text


def connection(output: Path) -> metadata_store_pb2.ConnectionConfig:
    return metadata.sqlite_metadata_connection_config(str(output / "metadata.sqlite"))


def new_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"another model")
    return folder


def test_the_champion_is_found_among_the_models_of_the_old_runs(output: Path, tmp_path: Path):
    store = mlmd.MetadataStore(connection(output))
    (model_type,) = [one for one in store.get_artifact_types() if one.name == "Model"]
    models = [
        artifact_utils.deserialize_artifact(model_type, artifact) for artifact in store.get_artifacts_by_type("Model")
    ]
    assert len(models) == 3, "those of the Trainer and of two baselines"
    candidate = standard_artifacts.Model()
    candidate.uri = str(new_model(tmp_path / "candidate"))
    found = ChampionStrategy(str(output / "pushed")).resolve_artifacts(
        store, {"model": [*models, candidate], "candidate": [candidate]}
    )
    assert [model.uri for model in found["model"]] == [f"{output}/artifacts/Trainer/model/8"]


def test_versions_continue_and_roll_back(output: Path, tmp_path: Path):
    pushed = output / "pushed"
    version, new = push_version(new_model(tmp_path / "candidate"), pushed)
    assert (version.name, new, versions(pushed)) == ("2", True, [1, 2])
    assert json.loads((pushed / "champion.json").read_text())["version"] == 2
    version, of = roll_back(pushed)
    assert (version.name, of) == ("3", 1)
    assert read_record(version).model_uri == f"{output}/artifacts/Trainer/model/8"


def test_what_a_version_says_of_itself_is_read(output: Path):
    version = newest_version(output / "pushed")
    assert version is not None
    assert read_record(version).pipeline == "digits"
    assert read_record(version).at == "2026-11-26T14:56:54+00:00"
    assert ModelCard.read(version).data.classes == ["5", "6", "7", "8", "9"]


def test_the_store_takes_the_types_of_todays_nodes(output: Path):
    """Before a node runs, TFX registers the types of its execution and its artifacts beside those of the old runs."""
    registered = []
    with metadata.Metadata(connection(output)) as store:
        for node in compile_ir(load_config(ROOT / "configs" / "digits.yaml")).nodes:
            inner = node.pipeline_node
            for kind in (inner.node_info.type, *(one.artifact_spec.type for one in inner.outputs.outputs.values())):
                registered.append(common_utils.register_type_if_not_exist(store, kind).name)
    assert {"Model", "GateVerdict", "TestPredictions"} <= set(registered)

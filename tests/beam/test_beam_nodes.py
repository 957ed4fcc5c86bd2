"""Which nodes run on Beam, with which options, and that these do not enter the cache key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.orchestration import metadata
from tfx.orchestration.portable import data_types
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2
from tfx.types import standard_artifacts

from components.example_gen.modalities import MODALITIES
from finetune.config import load_config
from pipeline import launch, nodes
from pipeline.beam import operator
from pipeline.beam.arguments import beam_arguments
from pipeline.dag import build_pipeline, compile_ir
from pipeline.plan import BEAM_NODES

RECIPE = Path(__file__).parents[2] / "configs" / "digits.yaml"
PRISM = "beam={runner: prism, args: ['--prism_location=prism']}"


class Launched:
    """Stands for TFX's launcher: keeps what it is given."""

    def __init__(self, **given: Any):
        self.given = given

    def launch(self) -> None:
        specs.append((self.given["executor_spec"], self.given["platform_config"]))


specs: list[tuple[Any, Any]] = []


def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, node_id: str, *overrides: str) -> tuple[Any, Any]:
    monkeypatch.setattr(launch.launcher, "Launcher", Launched)
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "m.sqlite"))
    ir = nodes.with_metadata_connection(compile_ir(load_config(RECIPE, overrides)), connection)
    launch.launch(nodes.resolved(nodes.alone(ir, node_id), nodes.place_at(tmp_path), "run"))
    return specs.pop()


def test_the_nodes_that_run_on_beam_are_those_of_the_plan():
    of_pictures = {
        node.id for node in build_pipeline(load_config(RECIPE)).components if isinstance(node, BaseBeamComponent)
    }
    of_others = {modality.node_id for modality in MODALITIES.values() if modality.on_beam}
    assert of_pictures | of_others == set(BEAM_NODES)
    assert of_pictures & of_others == {"ImageExampleGen"}


def test_the_options_reach_the_node_but_not_its_cache_key(monkeypatch, tmp_path):
    here, here_options = launched(monkeypatch, tmp_path, "Transform")
    there, there_options = launched(monkeypatch, tmp_path, "Transform", PRISM)
    assert here == there
    assert isinstance(here, executable_spec_pb2.BeamExecutableSpec)
    assert list(here_options.beam_pipeline_args) == beam_arguments(load_config(RECIPE).beam)
    assert list(there_options.beam_pipeline_args) == ["--runner=PrismRunner", "--prism_location=prism"]


def test_a_component_may_differ(monkeypatch, tmp_path):
    override = "beam.components={Transform: {workers: 3}}"
    _, options = launched(monkeypatch, tmp_path, "Transform", PRISM, override)
    assert "--direct_num_workers=3" in options.beam_pipeline_args
    _, options = launched(monkeypatch, tmp_path, "StatisticsGen", PRISM, override)
    assert "--runner=PrismRunner" in options.beam_pipeline_args


def test_a_node_without_beam_gets_no_options(monkeypatch, tmp_path):
    spec, options = launched(monkeypatch, tmp_path, "Trainer", PRISM)
    assert isinstance(spec, executable_spec_pb2.PythonClassExecutableSpec)
    assert options is None


@pytest.mark.parametrize(("files", "mode"), [(19_999, "in_memory"), (20_000, "multi_processing")])
@pytest.mark.parametrize("where", ["exec_properties", "input_dict"])
def test_without_a_number_the_data_decide_about_the_workers(monkeypatch, tmp_path, files, mode, where):
    monkeypatch.setattr(operator.cpus, "available", lambda: 2)
    made = []
    monkeypatch.setattr(operator.beam, "Pipeline", lambda argv: made.append(list(argv)))
    monkeypatch.setattr(BeamExecutorOperator, "run_executor", lambda self, info, make: make())
    artifact, fingerprint = standard_artifacts.Examples(), f"files:{files},bytes:1,sha256:0"
    artifact.set_string_custom_property("input_fingerprint", fingerprint)
    info = {"exec_properties": {"input_fingerprint": fingerprint}, "input_dict": {"examples": [artifact]}}
    spec, options = launched(monkeypatch, tmp_path, "Transform")
    execution = data_types.ExecutionInfo(**{**{"exec_properties": {}, "input_dict": {}}, where: info[where]})
    operator.BeamOperator(spec, options).run_executor(execution)
    assert f"--direct_running_mode={mode}" in made[0]

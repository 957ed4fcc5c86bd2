"""Pipelines of TFX that no config describes: what of them can be packaged, and what runs of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
import small_pipelines
from command_line import ROOT, finetune
from google.protobuf import json_format
from run_states import states_of_runs

from finetune.artifacts.run_summary import ComponentRun
from finetune.config import load_placement
from finetune.config.kubernetes import KubernetesConfig
from finetune.errors import ConfigError
from finetune_kubeflow.package.packed import unpack
from finetune_kubeflow.package.read import read_package
from finetune_kubeflow.package.user_code import UserCode, code_beside, put_on_path
from finetune_kubeflow.replay.run import replay
from finetune_kubeflow.tfx_pipeline import compile_pipeline, load_pipeline
from pipeline.beam.operator import runs_here
from pipeline.metadata_connection import sqlite_connection
from pipeline.node_runs import run_nodes
from pipeline.nodes import place_at

SETTINGS = KubernetesConfig()


def containers(package: Path) -> dict[str, dict[str, Any]]:
    pipeline = read_package(package).pipeline
    executors = json_format.MessageToDict(pipeline.deployment_spec)["executors"]
    return {name.removeprefix("exec-"): one["container"] for name, one in executors.items()}


def problems(pipeline: Any, folder: Path, settings: KubernetesConfig = SETTINGS) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compile_pipeline(pipeline, folder / "p.yaml", settings)
    assert not list(folder.glob("*.yaml"))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("conditional", ["Write: runs within Cond; expected nodes that always run"]),
        ("for_each", ["Read: runs within ForEach; expected nodes that run once"]),
        (
            "container",
            [
                "Shell: has an executor of the kind ContainerExecutableSpec; expected a component of Python, with Beam "
                "or without"
            ],
        ),
        (
            "exit_handler",
            ["Status: is an exit handler; leave it out: a run's end is seen in Kubeflow Pipelines"],
        ),
        ("nested", ["inner: a pipeline within the pipeline; give its nodes to the pipeline"]),
        ("beam_placeholder", ["CsvExampleGen: has a placeholder among its Beam options; expected texts"]),
        (
            "elsewhere",
            [
                "pipeline_root: got 'gs://bucket/artifacts'; expected a path below the shared volume, relative or "
                "below /finetune (kubernetes.volume.mount_path)"
            ],
        ),
        (
            "without_default",
            [
                "RuntimeParameter a-b: has no default; expected one, which a run may replace",
                "RuntimeParameter a.b: Kubeflow Pipelines takes it for a-b; choose another name",
            ],
        ),
    ],
)
def test_what_cannot_be_run_is_said(function: str, expected: list[str], tmp_path: Path):
    assert problems(getattr(small_pipelines, function)(), tmp_path) == expected


def test_what_a_placement_says_wrongly_is_said(tmp_path: Path):
    settings = KubernetesConfig.model_validate({"components": {"Wirte": {"cpu": 2}}, "runtime": ["data.root"]})
    assert problems(small_pipelines.several_kinds(), tmp_path, settings) == [
        "kubernetes.runtime: of a pipeline of yours, its RuntimeParameters are what a run may set",
        "kubernetes.components.Wirte: no such component; expected one of Brought, Number, Write, Read. "
        "Did you mean 'Write'?",
    ]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("small_pipelines", "expected MODULE:FUNCTION, such as taxi.pipeline:create"),
        ("absent.module:make", "No module named 'absent'. Modules are looked for in this folder, in PYTHONPATH, and"),
        ("small_pipelines:mak", "expected a function of the module: module 'small_pipelines' has no attribute 'mak'"),
        ("small_pipelines:PLACE", "which is str; expected a function"),
        ("small_pipelines:takes", "takes folder; expected a function that is called without arguments"),
        ("small_pipelines:no_pipeline", "returned str; expected a tfx.dsl.Pipeline, which it does not run"),
    ],
)
def test_what_is_no_function_of_a_pipeline_is_said(place: str, message: str):
    with pytest.raises(ConfigError) as caught:
        load_pipeline(place)
    assert message in str(caught.value)


def test_a_module_file_that_is_not_here_is_said(tmp_path: Path):
    (found,) = problems(small_pipelines.with_code("absent.py"), tmp_path)
    assert found.startswith("Evaluator: module_file: got 'absent.py', which is not here; the package carries it.")


def test_runtime_parameters_are_parameters_of_the_package(tmp_path: Path):
    package = tmp_path / "p.yaml"
    compile_pipeline(small_pipelines.several_kinds(), package)
    read = read_package(package)
    assert read.pipeline.pipeline_info.name == "small"
    declared = read.pipeline.root.input_definitions.parameters
    assert {name: json_format.MessageToDict(one.default_value) for name, one in declared.items()} == {
        "a_number": 3,
        "text": "some",
    }
    (container,) = containers(package).values()
    assert container["args"][4:] == [
        "--value",
        "a-number",
        "{{$.inputs.parameters['a_number']}}",
        "--text",
        "text",
        "{{$.inputs.parameters['text']}}",
        "--keras",
        "",
    ]


def test_nodes_that_train_or_are_placed_have_tasks_of_their_own(tmp_path: Path):
    package = tmp_path / "p.yaml"
    settings = KubernetesConfig.model_validate({"defaults": {"image": "mine:1"}, "components": {"Write": {"cpu": 3}}})
    compile_pipeline(small_pipelines.several_kinds(), package, settings)
    found = containers(package)
    assert {name: one["resources"]["resourceCpuRequest"] for name, one in found.items()} == {
        "brought-to-number": "1",
        "write": "3",
        "read": "1",
    }
    assert {one["image"] for one in found.values()} == {"mine:1"}


def test_an_absolute_root_on_the_volume_is_below_wherever_that_is_mounted(tmp_path: Path):
    pipeline = small_pipelines.made(small_pipelines.Number(number=1), pipeline_root="/finetune/out")
    compile_pipeline(pipeline, tmp_path / "p.yaml")
    (container,) = containers(tmp_path / "p.yaml").values()
    assert 'string_value: "out"' in str(unpack(container["args"][3]))


def test_the_package_carries_the_code_beside_a_module_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "judge.py").write_text("from judge_parts import NAME\n")
    (code / "judge_parts.py").write_text("NAME = 'ours'\n")
    package = tmp_path / "p.yaml"
    compile_pipeline(small_pipelines.with_code(str(code / "judge.py")), package)
    (container,) = containers(package).values()
    (packed,) = (container["args"][place + 1] for place, word in enumerate(container["args"]) if word == "--code")
    carried = code_beside(code / "judge.py")
    assert carried.packed() == packed
    (judge,) = (node for node in unpack(container["args"][3]).nodes if node.pipeline_node.node_info.id == "Evaluator")
    parameters = judge.pipeline_node.parameters.parameters
    assert parameters["module_path"].field_value.string_value == f"{carried.name}.judge"
    assert "module_file" not in parameters
    assert str(tmp_path) not in str(unpack(container["args"][3]))

    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", "before")
    put_on_path(packed, tmp_path / "volume" / "_code")
    put_on_path(packed, tmp_path / "volume" / "_code")
    module = __import__(f"{carried.name}.judge")
    assert module.judge.NAME == "ours"
    (code / "judge_parts.py").write_text("NAME = 'theirs'\n")
    assert code_beside(code / "judge.py").name != carried.name, "or the cache would not see the change"


def test_code_that_is_too_large_is_refused(tmp_path: Path):
    import random

    draw = random.Random(0)
    (tmp_path / "large.py").write_text(f"TABLE = '{draw.randbytes(60_000).hex()}'\n")
    (found,) = problems(small_pipelines.with_code(str(tmp_path / "large.py")), tmp_path)
    assert "the settings, and the Python files beside `module_file`, pack into" in found
    assert "Code that is large goes into the image" in found


def test_nodes_of_every_kind_run_as_they_do_locally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An Importer, a RuntimeParameter, a value that another node gives; and the second run is cached where that is."""
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    found: dict[str, tuple[list[dict[str, int]], list[str]]] = {}
    for kind in ("local", "ours"):
        folder = tmp_path / kind
        (folder / "brought").mkdir(parents=True)
        (folder / "brought" / "text").write_text("old")
        monkeypatch.chdir(folder)
        connection = sqlite_connection(folder / "metadata.sqlite")
        for run in ("one", "two"):
            pipeline = small_pipelines.several_kinds()
            if kind == "local":
                pipeline.metadata_connection_config = connection
                LocalDagRunner().run(pipeline)
            else:
                ended: list[ComponentRun] = []
                run_nodes(compiled(pipeline), connection, place_at(folder, {}), run, ended)
        texts = [file.read_text() for file in sorted((folder / "artifacts" / "Read").rglob("text"))]
        found[kind] = states_of_runs(mlmd.MetadataStore(connection)), texts
    assert found["ours"] == found["local"]
    assert found["ours"][1] == ["old and some 6"]


def compiled(pipeline: Any) -> Any:
    from tfx.dsl.compiler import compiler

    return compiler.Compiler().compile(pipeline)


def test_a_run_says_what_a_runtime_parameter_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a package that is replayed."""
    module = tmp_path / "volume" / "lib"
    module.mkdir(parents=True)
    (module / "small_pipelines.py").write_text(Path(small_pipelines.__file__).read_text())
    (tmp_path / "volume" / "brought").mkdir()
    (tmp_path / "volume" / "brought" / "text").write_text("old")
    settings = KubernetesConfig.model_validate({"defaults": {"env": {"PYTHONPATH": "/finetune/lib"}}})
    compile_pipeline(small_pipelines.several_kinds(), tmp_path / "p.yaml", settings)
    volumes = {"finetune": tmp_path / "volume"}
    (result,) = replay(tmp_path / "p.yaml", tmp_path / "w", {"a_number": "5", "text": "new"}, volumes)
    assert result.state == "ran", result.log.read_text()
    (text,) = (tmp_path / "volume" / "artifacts" / "Read").rglob("text")
    assert text.read_text() == "old and new 10"


@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        ([], True),
        (["--direct_running_mode=multi_processing"], True),
        (["--runner=DirectRunner"], True),
        (["--runner", "FlinkRunner"], False),
        (["--runner=DataflowRunner", "--project=x"], False),
    ],
)
def test_beam_runs_in_the_task_unless_the_pipeline_says_otherwise(arguments: list[str], here: bool):
    assert runs_here(arguments) == here


def test_a_placement_is_a_section_of_a_file(tmp_path: Path):
    file = tmp_path / "placement.yaml"
    file.write_text("kubernetes: {defaults: {image: a}}\n")
    settings = load_placement(file, ["kubernetes.defaults.cpu=3"])
    assert (settings.defaults.image, settings.defaults.cpu) == ("a", "3")
    assert load_placement(None) == KubernetesConfig()
    with pytest.raises(ConfigError) as caught:
        load_placement(ROOT / "configs" / "digits.yaml", ["kubernetes.defaults.cpus=3"])
    assert "data: the pipeline says that by itself; expected `kubernetes:` and nothing else" in caught.value.problems
    assert any(one.startswith("kubernetes.defaults.cpus: unknown key; expected") for one in caught.value.problems)


def test_the_command_compiles_a_pipeline(tmp_path: Path):
    place = "examples.iris.pipeline:create_pipeline"
    done = finetune(
        "compile", "--pipeline", place, "kubernetes.defaults.image=mine:1", "-o", tmp_path / "p.yaml", cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert {one["image"] for one in containers(tmp_path / "p.yaml").values()} == {"mine:1"}
    shown = finetune("submit", "examples/iris/placement.yaml", "--pipeline", place, cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    assert '"pipeline": "iris"' in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "CONFIG: missing; expected a YAML file, or --pipeline MODULE:FUNCTION"),
        (["--pipeline", "a:b", "--retrain"], "--retrain: decides about the pipeline of a config"),
        (["--pipeline", "absent:b"], "--pipeline: got 'absent:b'; No module named 'absent'"),
    ],
)
def test_the_command_says_what_it_lacks(arguments: list[str], message: str, tmp_path: Path):
    done = finetune("compile", *arguments, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not list(tmp_path.iterdir())


def test_user_code_has_a_name_of_its_content():
    assert UserCode({"a.py": "1", "b.py": "2"}).name == UserCode({"b.py": "2", "a.py": "1"}).name

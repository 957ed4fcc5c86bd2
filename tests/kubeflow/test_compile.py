"""Compiled packages against golden ones; `pytest tests/kubeflow/test_compile.py --update-golden` writes those anew."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from tfx.proto.orchestration import pipeline_pb2

from finetune.config import load_config
from finetune.digests import sha256_of
from finetune.errors import ConfigError
from finetune.run_time import CodeDigest, ConfigValue, Place
from finetune_kubeflow import compile as kfp_compile
from finetune_kubeflow.environment import TRAIN_JOB_ENV
from finetune_kubeflow.package import write
from finetune_kubeflow.package.packed import unpack, unpack_config
from finetune_kubeflow.package.read import read_package
from finetune_kubeflow.replay.run import replay
from finetune_kubeflow.task.process import listed
from pipeline import code_digest
from pipeline.metadata_connection import METADATA_ENV
from pipeline.nodes import alone, place_at, resolved, run_time_values
from pipeline.plan import node_ids

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
# The number of tasks of each recipe's package.
TASKS = {"digits": 6, "flowers_gpu": 8}
RECIPES = tuple(TASKS)
DECIDING = "digits_retrain"
REPORT_TASK = "run-report"


def compiled(folder: Path, recipe: str, *overrides: str) -> Path:
    package = folder / f"{recipe}.yaml"
    kfp_compile.compile_package(load_config(ROOT / "configs" / f"{recipe}.yaml", overrides), package)
    return package


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    deciding = folder / f"{DECIDING}.yaml"
    kfp_compile.compile_package(load_config(ROOT / "configs" / "digits.yaml"), deciding, decides=True)
    return {**{recipe: compiled(folder, recipe) for recipe in RECIPES}, DECIDING: deciding}


def readable(package: Path) -> str:
    """All of a package, with each node's IR written out, and without the version of the SDK that wrote it."""
    pipeline, platform = yaml.safe_load_all(package.read_text())
    assert re.fullmatch(r"kfp-2\.\d+\.\d+", pipeline.pop("sdkVersion"))
    for executor in pipeline["deploymentSpec"]["executors"].values():
        arguments = executor["container"]["args"]
        if "--nodes" in arguments:
            place = arguments.index("--nodes") + 1
            arguments[place] = _without_lane(json_format.MessageToDict(unpack(arguments[place])))
        if "--config" in arguments:
            place = arguments.index("--config") + 1
            arguments[place] = json.loads(unpack_config(arguments[place], {}).model_dump_json())
        for one in executor["container"]["env"]:
            one["value"] = _parsed(one["value"])
    return yaml.safe_dump_all([pipeline, platform], width=120)


def _without_lane(value: Any) -> Any:
    """TFX and Beam write their versions into some flags."""
    if isinstance(value, dict):
        return {key: _without_lane(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_lane(item) for item in value]
    return _parsed(value)


def _parsed(value: Any) -> Any:
    """JSON within a string, as what it means: two lanes may space it differently."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value


@pytest.mark.parametrize("recipe", [*RECIPES, DECIDING])
def test_the_package_is_the_golden_one(packages: dict[str, Path], recipe: str, request: pytest.FixtureRequest):
    golden = GOLDEN / f"{recipe}.yaml"
    now = readable(packages[recipe])
    if request.config.getoption("--update-golden", default=False):
        golden.write_text(now)
    expected = golden.read_text()
    difference = "\n".join(difflib.unified_diff(expected.splitlines(), now.splitlines(), "golden", "now", lineterm=""))
    assert not difference, f"{difference}\nIf that is meant, write the golden packages anew with --update-golden."


@pytest.mark.parametrize("recipe", RECIPES)
def test_kfp_reads_the_package(packages: dict[str, Path], recipe: str):
    loaded = components.load_component_from_file(str(packages[recipe]))
    assert loaded.pipeline_spec.schema_version == "2.1.0"
    assert loaded.platform_spec.platforms["kubernetes"]
    assert "data_root" in loaded.component_spec.inputs
    assert len(tasks_of(loaded.pipeline_spec)) == TASKS[recipe]


@pytest.mark.parametrize("recipe", [*RECIPES, DECIDING])
def test_the_package_is_small_and_holds_no_secret_and_no_place_of_this_machine(packages: dict[str, Path], recipe: str):
    text = packages[recipe].read_text()
    assert len(text) < 100_000
    whole = text + readable(packages[recipe])
    assert str(ROOT) not in whole
    assert "/tmp/" not in whole
    assert "sqlite" not in whole
    assert "mysql" not in whole
    for line in whole.splitlines():
        assert "PASSWORD" not in line or line.strip() == "- envVar: FINETUNE_MLMD_PASSWORD"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_task_has_what_it_needs(packages: dict[str, Path], recipe: str):
    package = read_package(packages[recipe])
    executors = json_format.MessageToDict(package.pipeline.deployment_spec)["executors"]
    for name, task in tasks_of(package.pipeline).items():
        label = package.pipeline.components[task.component_ref.name].executor_label
        assert not task.caching_options.enable_cache, name
        assert task.inputs.parameters["run_id"].runtime_value.constant.string_value == "{{$.pipeline_job_uuid}}"
        secrets = package.executor_configs[label].secret_as_env
        assert {one.env_var for use in secrets for one in use.key_to_env} == set(METADATA_ENV)
        container = executors[label]["container"]
        hidden = {"name": "CUDA_VISIBLE_DEVICES", "value": "-1"} in container["env"]
        assert hidden == ("accelerator" not in container["resources"]), name
        if name != REPORT_TASK:
            assert nodes_of(container) == task.task_info.name.split(", "), "KFP's interface shows the nodes of a task"


def test_the_last_task_runs_whichever_way_the_others_end(packages: dict[str, Path]):
    package = read_package(packages["digits"])
    last = package.pipeline.root.dag.tasks[REPORT_TASK]
    assert json_format.MessageToDict(last.trigger_policy) == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert list(last.dependent_tasks) == ["exit-handler-1"]
    outputs = package.pipeline.components[last.component_ref.name].output_definitions.artifacts
    assert {name: one.artifact_type.schema_title for name, one in outputs.items()} == {
        "report": "system.HTML",
        "metrics": "system.Metrics",
        "confusion_matrix": "system.ClassificationMetrics",
        "model_card": "system.Markdown",
        "model": "system.Model",
    }


def tasks_of(pipeline: Any) -> dict[str, Any]:
    """The container tasks of a pipeline, in whichever DAG."""
    dags = [pipeline.root.dag, *(one.dag for one in pipeline.components.values() if one.HasField("dag"))]
    tasks = {name: task for dag in dags for name, task in dag.tasks.items()}
    return {name: task for name, task in tasks.items() if pipeline.components[task.component_ref.name].executor_label}


def nodes_of(container: dict[str, Any]) -> list[str]:
    """The nodes that a task runs, in their order."""
    arguments = container["args"]
    packed = unpack(arguments[arguments.index("--nodes") + 1])
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    packed.deployment_config.Unpack(deployment)
    found = [node.pipeline_node.node_info.id for node in packed.nodes]
    assert set(deployment.executor_specs) == {node for node in found if not node.endswith("Resolver")}
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_tasks_run_every_node_in_the_order_of_the_dag(packages: dict[str, Path], recipe: str):
    pipeline = read_package(packages[recipe]).pipeline
    containers = json_format.MessageToDict(pipeline.deployment_spec)["executors"]
    tasks = {name: task for name, task in tasks_of(pipeline).items() if name != REPORT_TASK}
    nodes = {name: nodes_of(containers[f"exec-{name}"]["container"]) for name in tasks}
    config = load_config(ROOT / "configs" / f"{recipe}.yaml")
    assert sorted(node for names in nodes.values() for node in names) == sorted(node_ids(config))
    upstream = {
        node.pipeline_node.node_info.id: set(node.pipeline_node.upstream_nodes)
        for node in kfp_compile.open_ir(config, []).nodes
    }
    for name, task in tasks.items():
        done = {node for other in task.dependent_tasks for node in nodes[other]}
        for node in nodes[name]:
            assert upstream[node] & set(nodes[name]) <= done | set(nodes[name][: nodes[name].index(node)])
            assert {other for other in upstream[node] if other not in nodes[name]} <= done, (name, node)


def test_nodes_that_share_a_task_have_the_time_of_all_of_them(tmp_path: Path):
    package = read_package(compiled(tmp_path, "digits", "kubernetes.defaults.timeout_minutes=10"))
    limits = {name: config.active_deadline_seconds for name, config in package.executor_configs.items()}
    assert (limits["exec-trainer"], limits["exec-image-example-gen-to-data-gate"]) == (600, 7 * 600)


def test_each_node_has_a_task_of_its_own_where_nodes_are_not_grouped(tmp_path: Path):
    tasks = tasks_of(read_package(compiled(tmp_path, "digits", "kubernetes.group_light_nodes=false")).pipeline)
    assert len(tasks) == len(node_ids(load_config(ROOT / "configs" / "digits.yaml"))) + 1
    assert sorted(tasks["transform"].dependent_tasks) == ["example-validator", "image-example-gen", "schema-gen"]
    upstream = ["gate-keeper", "image-example-gen", "serving-gate", "trainer"]
    assert sorted(tasks["pusher"].dependent_tasks) == upstream


def test_a_package_says_whether_workers_are_a_train_job(tmp_path: Path):
    package = compiled(tmp_path, "flowers_gpu", "kubernetes.worker_job=TrainJob")
    executors = next(yaml.safe_load_all(package.read_text()))["deploymentSpec"]["executors"]
    told = {
        name
        for name, executor in executors.items()
        if {"name": TRAIN_JOB_ENV, "value": "1"} in executor["container"]["env"]
    }
    assert told == {"exec-trainer"}


def test_a_package_with_workers_is_not_replayed_without_a_cluster(packages: dict[str, Path], tmp_path: Path):
    with pytest.raises(ConfigError, match="trainer: trains in a Job of several workers, which takes a cluster"):
        replay(packages["flowers_gpu"], tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_runtime_keys_become_parameters(tmp_path: Path):
    runtime = "kubernetes.runtime=[data.root, training.seed, 'training.phases[0].learning_rate', backbone.weights]"
    package = read_package(
        compiled(tmp_path, "digits", runtime, "backbone.weights=w.h5", "training.phases[0].learning_rate=3.0e-3")
    )
    parameters = package.pipeline.root.input_definitions.parameters
    assert {name: json_format.MessageToDict(one.default_value) for name, one in parameters.items()} == {
        "data_root": "runs/digits/images",
        "training_seed": 1,
        "training_phases_0_learning_rate": 3e-3,
        "backbone_weights": "w.h5",
    }
    executors = json_format.MessageToDict(package.pipeline.deployment_spec)["executors"]
    arguments = executors["exec-trainer"]["container"]["args"]
    assert arguments[4:7] == ["--value", "training.seed", "{{$.inputs.parameters['training_seed']}}"]
    ir = unpack(arguments[3])
    assert ConfigValue(key="backbone.weights") in run_time_values(ir)
    (tmp_path / "other.h5").write_bytes(b"other weights")
    values = {"training.seed": 5, "training.phases[0].learning_rate": 0.1, "backbone.weights": "other.h5"}
    made = resolved(ir, Place(tmp_path, lambda modules: f"code of {' '.join(modules)}", values), "run")
    assert made.runtime_spec.pipeline_root.field_value.string_value == f"{tmp_path}/runs/digits/artifacts"
    settings = json.loads(made.nodes[0].pipeline_node.parameters.parameters["custom_config"].field_value.string_value)
    assert (settings["training"]["seed"], settings["training"]["phases"][0]["learning_rate"]) == (5, 0.1)
    assert settings["backbone"]["weights"] == "other.h5"
    assert settings["weights_sha256"] == sha256_of(tmp_path / "other.h5")
    assert settings["code"] == "code of trainer_module.recipe"
    assert settings["frozen_features_dir"] == f"{tmp_path}/runs/digits/frozen_features"
    with pytest.raises(ConfigError, match=r"backbone\.weights: no value for this run"):
        resolved(ir, Place(tmp_path, str, {}), "run")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("kubernetes.runtime=[training.sead]", "Did you mean 'seed'?"),
        ("kubernetes.runtime=[training.phases]", "expected a key with a text, a number, true or false"),
        ("kubernetes.runtime=[output_dir]", "expected a key with a text, a number"),
        ("kubernetes.runtime=[name]", "shapes the package itself"),
        ("kubernetes.runtime=[data.max_bad_fraction, kubernetes.namespace]", "shapes the package itself"),
        ("kubernetes.components.Trainer.accelerator.count=5", "KFP takes one of 1, 2, 4, 8, 16"),
        ("data.schema_file=gs://bucket/schema.pbtxt", "A bucket can be that volume"),
    ],
)
def test_what_cannot_be_compiled_is_said(tmp_path: Path, override: str, message: str):
    with pytest.raises(ConfigError) as caught:
        compiled(tmp_path, "digits", override)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_too_large_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(write, "MAX_PACKAGE_BYTES", 10_000)
    with pytest.raises(ConfigError, match="bytes; expected at most 10,000"):
        compiled(tmp_path, "digits")
    assert not list(tmp_path.iterdir())


def test_data_and_pushed_models_may_be_in_buckets(tmp_path: Path):
    places = ("data.root=s3://birds/images", "push.directory=gs://birds/models")
    package = read_package(compiled(tmp_path, "digits", *places))
    inputs = package.pipeline.root.input_definitions.parameters
    assert inputs["data_root"].default_value.string_value == "s3://birds/images"
    executors = json_format.MessageToDict(package.pipeline.deployment_spec)["executors"]
    arguments = executors["exec-champion-resolver-to-pusher"]["container"]["args"]
    parameters = resolved(unpack(arguments[arguments.index("--nodes") + 1]), place_at(tmp_path), "run")
    assert '"directory": "gs://birds/models"' in str(json_format.MessageToJson(parameters)).replace('\\"', '"')


def test_a_runtime_key_that_shapes_the_dag_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="decides how the DAG is built"):
        compiled(tmp_path, "digits", "kubernetes.runtime=['training.phases[0].epochs']")


def test_what_lies_where_one_compiles_makes_no_difference(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = tmp_path / "runs" / "digits" / "backbone.h5"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"other weights")
    monkeypatch.chdir(tmp_path)
    assert readable(compiled(tmp_path, "digits")) == readable(packages["digits"])


def test_the_code_where_one_compiles_makes_no_difference(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The image's code decides; that of a node is named in the package, not digested."""
    with monkeypatch.context() as changed:
        changed.setattr(code_digest.Sources, "digest", lambda *_: "other code")
        other = readable(compiled(tmp_path, "digits"))
    assert other == readable(packages["digits"])
    ingest = read_package(packages["digits"]).pipeline.deployment_spec
    arguments = json_format.MessageToDict(ingest)["executors"]["exec-champion-resolver-to-pusher"]["container"]["args"]
    assert [one for one in run_time_values(unpack(arguments[3])) if isinstance(one, CodeDigest)]


def test_paths_on_the_volume_are_open_and_others_stay(tmp_path: Path):
    package = read_package(
        compiled(
            tmp_path, "digits", "output_dir=/finetune/out", "push.directory=/models/digits", "data.root=/finetune/in"
        )
    )
    executors = json_format.MessageToDict(package.pipeline.deployment_spec)["executors"]
    pusher = str(unpack(executors["exec-champion-resolver-to-pusher"]["container"]["args"][3]))
    assert 'string_value: "out/artifacts"' in pusher
    assert "/models/digits" in pusher


def test_a_run_says_which_spans_it_is_about(tmp_path):
    config = load_config(ROOT / "configs" / "digits.yaml", ["data.root=store/{SPAN}", "data.spans=[3, 7..9]"])
    assert config.kubernetes.runtime == ["data.root", "data.spans"]
    file = tmp_path / "p.yaml"
    kfp_compile.compile_package(config, file)
    parameter = read_package(file).pipeline.root.input_definitions.parameters["data_spans"]
    assert parameter.default_value.string_value == "3,7..9"
    ir = kfp_compile.open_ir(config, config.kubernetes.runtime)
    place = Place(tmp_path, lambda _: "", {"data.root": "store/{SPAN}", "data.spans": listed(" ..12, 20")})
    node = resolved(alone(ir, "ImageExampleGen"), place, "run").nodes[0].pipeline_node
    settings = json.loads(node.parameters.parameters["settings"].field_value.string_value)
    assert settings["spans"] == ["..12", "20"]
    assert listed("") == []

"""The decision whether to train as the first task of a package: alone where nothing is new, else as `retrain` does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import finetune
from google.protobuf import json_format
from PIL import Image

from finetune.artifacts.run_summary import RunSummary
from finetune.config import load_config
from finetune.errors import ConfigError
from finetune_kubeflow.compile import compile_package
from finetune_kubeflow.environment import NOWHERE
from finetune_kubeflow.package.packed import pack_config, unpack, unpack_config
from finetune_kubeflow.package.read import read_package
from finetune_kubeflow.replay.run import TaskResult, replay
from pipeline.metadata_connection import sqlite_connection
from pipeline.run_metadata import open_store

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "digits.yaml"
DECISION, REPORT = "retrain-decision", "run-report"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("package") / "digits.yaml"
    compile_package(load_config(DIGITS), file, decides=True)
    return file


def argument(package: Path, option: str) -> str:
    """What the decision is given as an option."""
    executors = json_format.MessageToDict(read_package(package).pipeline.deployment_spec)["executors"]
    arguments = executors[f"exec-{DECISION}"]["container"]["args"]
    return arguments[arguments.index(option) + 1]


def test_the_other_tasks_run_where_the_decision_says_to_train(package: Path):
    pipeline = read_package(package).pipeline
    first = pipeline.components["comp-exit-handler-1"].dag.tasks
    decision, condition = (first[name] for name in (DECISION, "condition-2"))
    assert not decision.trigger_policy.condition
    started = f"pipelinechannel--{DECISION}-start_from"
    assert condition.trigger_policy.condition == f"inputs.parameter_values['{started}'] != '{NOWHERE}'"
    output = condition.inputs.parameters[started].task_output_parameter
    assert (output.producer_task, output.output_parameter_key) == (DECISION, "start_from")
    tasks = pipeline.components[condition.component_ref.name].dag.tasks
    asked = {name for name, task in tasks.items() if "training_start_from" in task.inputs.parameters}
    assert asked == {"trainer", "image-example-gen-to-warm-start-resolver"}
    assert {task.retry_policy.backoff_max_duration.seconds for task in (decision, *tasks.values())} == {24 * 3600}
    for task in (decision, *tasks.values()):
        assert not task.caching_options.enable_cache


def test_the_decision_has_the_config_and_the_nodes_that_look_into_the_data(package: Path):
    nodes = [node.pipeline_node.node_info.id for node in unpack(argument(package, "--nodes")).nodes]
    assert (nodes[0], nodes[-1]) == ("ImageExampleGen", "DataGate")
    packed = argument(package, "--config")
    config = unpack_config(packed, {"data.root": "data/today", "retrain.min_new": 0.5})
    assert (config.data.root, config.retrain.min_new) == ("data/today", 0.5)
    assert config.evaluation == load_config(DIGITS).evaluation
    with pytest.raises(ConfigError, match=r"retrain\.min_new: got 'half'"):
        unpack_config(packed, {"retrain.min_new": "half"})


def test_paths_of_the_decision_are_below_the_volume(tmp_path: Path):
    overrides = ["output_dir=/finetune/out", "data.root=/finetune/in", "push.directory=gs://models/digits"]
    compile_package(load_config(DIGITS, overrides), tmp_path / "p.yaml", decides=True)
    config = unpack_config(argument(tmp_path / "p.yaml", "--config"), {})
    assert (config.output_dir, config.data.root, config.push.directory) == ("out", "in", "gs://models/digits")


def test_the_decision_is_placed_as_a_node_is(tmp_path: Path):
    placed = ["kubernetes.components.RetrainDecision.memory=9Gi", "kubernetes.defaults.timeout_minutes=10"]
    compile_package(load_config(DIGITS, placed), tmp_path / "p.yaml", decides=True)
    package = read_package(tmp_path / "p.yaml")
    executors = json_format.MessageToDict(package.pipeline.deployment_spec)["executors"]
    memory = {name: one["container"]["resources"]["resourceMemoryRequest"] for name, one in executors.items()}
    assert {name for name, size in memory.items() if size == "9Gi"} == {"exec-retrain-decision"}
    # It may run seven nodes.
    assert package.executor_configs["exec-retrain-decision"].active_deadline_seconds == 8 * 600
    with pytest.raises(ConfigError, match=r"kubernetes\.components\.RetrainDecision: no such component"):
        compile_package(load_config(DIGITS, placed), tmp_path / "other.yaml")


def test_where_training_starts_is_no_parameter_of_a_run_that_decides(tmp_path: Path):
    config = load_config(DIGITS, ["kubernetes.runtime=[training.start_from]"])
    with pytest.raises(ConfigError, match=r"kubernetes\.runtime: got training\.start_from, which the decision says"):
        compile_package(config, tmp_path / "p.yaml", decides=True)
    # Without one it is: both ways are wired.
    compile_package(config, tmp_path / "p.yaml")
    assert "training.start_from" in (tmp_path / "p.yaml").read_text()


def test_a_config_is_packed_as_it_is():
    config = load_config(DIGITS)
    assert unpack_config(pack_config(config), {}) == config


# --- replayed -----------------------------------------------------------------------------------------------------


def add(folder: Path, span: int, seed: int) -> None:
    """Adds a span of small pictures of two kinds."""
    draw = np.random.default_rng(seed)
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        for label, grey in (("dark", 60), ("light", 190)):
            place = folder / "store" / str(span) / split / label
            place.mkdir(parents=True)
            for number in range(count):
                pixels = (grey + draw.integers(-50, 50, (32, 32, 3))).astype("uint8")
                Image.fromarray(pixels).save(place / f"{seed}-{number}.png")


def decisions(database: Path, folder: Path) -> list[tuple[str, str, list[str], list[str]]]:
    """Action, end, reasons and spans of each decision, in their order; paths are below the folder."""
    found = open_store(sqlite_connection(database)).get_artifacts_by_type("RetrainDecision")
    said = [one.custom_properties for one in sorted(found, key=lambda one: one.id)]
    return [
        (
            one["action"].string_value,
            one["ended"].string_value,
            one["reasons"].string_value.replace(str(folder), "").splitlines(),
            sorted(yaml.safe_load(one["data"].string_value)),
        )
        for one in said
    ]


def versions(folder: Path) -> dict[str, bytes]:
    """The weights of each pushed version."""
    name = "variables/variables.data-00000-of-00001"
    return {file.parts[-3]: file.read_bytes() for file in (folder / "runs/tiny/pushed").glob(f"*/{name}")}


def told(folder: Path) -> list[tuple[object, ...]]:
    """What the summary of each run and decision says, in their order."""
    files = [*(folder / "runs/tiny/runs").glob("*"), *(folder / "runs/tiny/decisions").glob("*")]
    found = [RunSummary.read(one) for one in sorted(files, key=lambda one: one.name) if RunSummary.path(one).is_file()]
    assert all(Path(one.report).is_file() for one in found)
    return [(one.status, one.metrics, [gate.reason for gate in one.gates], one.splits, one.start) for one in found]


@pytest.mark.long
def test_a_replayed_decision_leaves_what_a_local_one_leaves(tiny: Path, tmp_path: Path):
    """Cold, nothing to do, warm, data that are refused: exit codes, decisions, reasons and weights are the same."""
    raw = yaml.safe_load((tiny / "tiny.yaml").read_text())
    raw["data"]["root"] = "store/{SPAN}"
    cluster, local = tmp_path / "cluster", tmp_path / "local"
    for place in (cluster, local):
        place.mkdir()
        (place / "tiny.yaml").write_text(yaml.safe_dump(raw))
        add(place, 1, seed=1)
    package = tmp_path / "tiny-package.yaml"
    compiled = finetune("compile", "tiny.yaml", "--retrain", "-o", package, cwd=cluster)
    assert compiled.returncode == 0, compiled.stderr

    def both(spans: str = "") -> tuple[list[TaskResult], int]:
        results = replay(package, tmp_path / "w", {"data_spans": spans}, {"finetune": cluster})
        assert results[-1].state != "failed", results[-1].log.read_text()[-3000:]
        ran = finetune("retrain", "tiny.yaml", *([f"data.spans={spans}"] if spans else []), cwd=local)
        assert results[-1].exit_code == ran.returncode, ran.stdout + ran.stderr
        there = decisions(tmp_path / "w/metadata.sqlite", cluster)
        assert there == decisions(local / "runs/tiny/metadata.sqlite", local)
        assert versions(cluster) == versions(local)
        assert told(cluster) == told(local)
        return results, ran.returncode

    first, code = both()
    assert (code, len(first), first[0].name, first[-1].name) == (0, 5, DECISION, REPORT)
    assert first[1].name == "image-example-gen-to-warm-start-resolver"
    ran = {node for node, state in first[1].nodes.items() if state == "ran"}
    assert ran == {"WarmStartResolver"}, "the decision has run the nodes of the data"

    nothing, code = both()
    assert (code, [result.name for result in nothing]) == (5, [DECISION, REPORT])

    for place in (cluster, local):
        add(place, 2, seed=2)
    second, code = both()
    assert (code, len(second)) == (0, 5)
    assert [one[:2] for one in decisions(tmp_path / "w/metadata.sqlite", cluster)] == [
        ("cold", "pushed"),
        ("nothing to do", ""),
        ("warm", "pushed"),
    ]
    assert set(versions(cluster)) == {"1", "2"}

    for place in (cluster, local):
        add(place, 3, seed=3)
        broken = place / "store" / "3" / "train" / "dark"
        for number in range(20):
            (broken / f"{number}.png").write_bytes(f"no picture {number}".encode())
    refused, code = both()
    assert (code, [result.name for result in refused]) == (3, [DECISION, REPORT])

    backfilled, code = both("..1")
    assert (code, [result.name for result in backfilled]) == (5, [DECISION, REPORT])
    *_, spans = decisions(tmp_path / "w/metadata.sqlite", cluster)[-1]
    assert len(spans) == 1, "the same package, and the spans of this run alone"
    shutil.rmtree(tmp_path / "w")

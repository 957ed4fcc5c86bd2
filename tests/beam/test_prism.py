"""The digits pipeline on a real portable runner, whose workers are other processes, beside the direct runner."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from worker_pools import seconds_of, wait_until

from finetune.config import Config, load_config
from finetune_cli.demo import CONFIG, prepare
from pipeline.local import run_pipeline
from pipeline.metadata_connection import sqlite_connection
from pipeline.run_metadata import RunMetadata

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    prepare(folder)
    return folder


def config(digits: Path, output: Path, beam: dict[str, Any] | None = None) -> Config:
    return load_config(
        CONFIG,
        [
            f"data.root={digits / 'images'}",
            f"backbone.weights={digits / 'backbone.h5'}",
            f"output_dir={output}",
            "evaluation.baselines=[majority]",
            "serving.measure_seconds=1",
            f"beam={json.dumps(beam or {})}",
        ],
    )


def run(given: Config) -> dict[str, Any]:
    """Runs a config to its end, and returns what its nodes left: digests of files, statistics, metrics, verdict."""
    summary = run_pipeline(given)
    assert summary.error is None
    outputs = RunMetadata(sqlite_connection(given.metadata_path), summary.run_id).outputs()
    ingest = "ImageExampleGen"
    return {
        "examples": digests(outputs[ingest]["examples"].uri),
        "statistics": statistics(outputs["StatisticsGen"]["statistics"].uri),
        "transformed": examples(outputs["Transform"]["transformed_examples"].uri),
        "vocabulary": digests(outputs["Transform"]["transform_graph"].uri, "**/assets/*"),
        "evaluation": evaluation(outputs["Evaluator"]["evaluation"].uri),
        "metrics": summary.metrics,
        "verdict": [(gate.name, gate.value, gate.passed) for gate in summary.gates if not gate.metric.startswith("p")],
        "status": summary.status,
    }


def digests(uri: str, pattern: str = "Split-*/*") -> dict[str, str]:
    files = sorted(path for path in Path(uri).glob(pattern) if path.is_file())
    assert files
    return {str(path.relative_to(uri)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def statistics(uri: str) -> dict[str, Any]:
    import tensorflow_data_validation as tfdv

    files = sorted(Path(uri).glob("Split-*/FeatureStats.pb"))
    assert files
    found = {path.parent.name: tfdv.load_stats_binary(str(path)).datasets[0] for path in files}
    # TFDV writes features in the order in which workers are done with them.
    return {
        split: (data.num_examples, {tuple(feature.path.step): feature for feature in data.features})
        for split, data in found.items()
    }


def examples(uri: str) -> dict[str, dict[bytes, dict[str, Any]]]:
    """The features of each split's examples by their keys: shards, and features in them, come in any order."""
    import tensorflow as tf

    found: dict[str, dict[bytes, dict[str, Any]]] = {}
    for path in sorted(Path(uri).glob("Split-*/*")):
        for record in tf.data.TFRecordDataset(str(path), "GZIP" if path.suffix == ".gz" else "").as_numpy_iterator():
            features = dict(tf.train.Example.FromString(record).features.feature)
            found.setdefault(path.parent.name, {})[features["key"].bytes_list.value[0]] = features
    assert found
    return found


def evaluation(uri: str) -> Any:
    import tensorflow_model_analysis as tfma

    return tfma.load_eval_result(uri).get_metrics_for_all_slices()


@pytest.fixture(scope="module")
def direct(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the direct runner leaves."""
    return run(config(digits, tmp_path_factory.mktemp("direct")))


def test_prism_with_two_external_pools_gives_what_the_direct_runner_gives(prism, pool, digits, direct, tmp_path):
    first, second = pool(), pool()
    beam = {
        "runner": "prism",
        "args": [f"--prism_location={prism}", *first.args],
        "components": {
            name: {"runner": "prism", "args": [f"--prism_location={prism}", *second.args]}
            for name in ("Transform", "Evaluator")
        },
    }
    there = run(config(digits, tmp_path / "prism", beam))
    for name, expected in direct.items():
        assert there[name] == expected, name
    on_direct_again = run_pipeline(config(digits, tmp_path / "prism"))
    assert {component.state for component in on_direct_again.components} == {"cached"}
    for one in (first, second):
        assert "Starting worker" in (tmp_path / f"{one.folder.name}.log").read_text()
        assert list(one.folder.iterdir()) == []


def test_a_pool_that_is_killed_in_mid_transform_leaves_an_error_and_nothing_else(prism, pool, digits, direct, tmp_path):
    def given(one: Any) -> Config:
        on_prism = {"runner": "prism", "args": [f"--prism_location={prism}", *one.args]}
        return config(digits, tmp_path / "killed", {"components": {"Transform": on_prism}})

    lost = pool()
    ended: list[Any] = []
    running = threading.Thread(target=lambda: ended.append(run_pipeline(given(lost))), daemon=True)
    running.start()
    wait_until(lambda: any(seconds_of(pid) > 3 for pid in lost.workers()), 300, "no worker of Transform at work")
    lost.kill()
    running.join(timeout=120)
    assert ended, "the run did not notice that its workers are gone"
    (summary,) = ended
    assert (summary.status, summary.pushed_model) == ("failed", None)
    assert re.search("^Transform: .*SDK worker disconnected", summary.error)
    again = run(given(pool()))
    assert {name: again[name] for name in direct} == direct


def test_a_pool_without_this_package_is_told_from_a_broken_one(prism, pool, digits, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['pipeline'] = None")
    lacking = pool(PYTHONPATH=str(tmp_path))
    beam = {"runner": "prism", "args": [f"--prism_location={prism}", *lacking.args]}
    summary = run_pipeline(config(digits, tmp_path / "lacking", beam))
    assert summary.status == "failed"
    assert re.search("^ImageExampleGen: .*the workers lack a package of this environment", summary.error)

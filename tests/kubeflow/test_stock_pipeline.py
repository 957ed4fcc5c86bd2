"""A pipeline of TFX's own components over spans of CSV files, packaged and replayed, beside TFX's LocalDagRunner.

It takes minutes: three runs each, of the first span, of a second one, and of nothing new.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import ml_metadata as mlmd
import pytest
from artifact_files import artifact_files_of_runs, same_content
from command_line import ROOT, finetune
from sklearn.datasets import load_iris

from finetune_kubeflow.replay.run import replay
from pipeline.metadata_connection import sqlite_connection

pytestmark = pytest.mark.long

SPANS = (1, 2)
# Three runs; between the first two the second span comes.
LOCAL = """
import shutil
from examples.iris.pipeline import create_pipeline
from tfx import v1 as tfx
for run in range(3):
    pipeline = create_pipeline()
    # Beam's own default looks for a runner to download, in later versions.
    for node in pipeline.components:
        if hasattr(node, "with_beam_pipeline_args"):
            node.with_beam_pipeline_args(["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    connection = tfx.orchestration.metadata.sqlite_metadata_connection_config("metadata.sqlite")
    pipeline.metadata_connection_config = connection
    tfx.orchestration.LocalDagRunner().run(pipeline)
    if run == 0:
        shutil.move("span-2", "data/iris/span-2")
"""


def write_spans(folder: Path) -> None:
    """Puts the first half of the flowers into the first span, and the second beside the data."""
    flowers = load_iris()
    rows = [
        ",".join([*map(str, map(float, sizes)), str(kind)])
        for sizes, kind in zip(flowers.data, flowers.target, strict=True)
    ]
    random.Random(0).shuffle(rows)
    header = "sepal_length,sepal_width,petal_length,petal_width,kind"
    for place, part in ((folder / "data" / "iris" / "span-1", rows[:75]), (folder / "span-2", rows[75:])):
        place.mkdir(parents=True)
        (place / "iris.csv").write_text("\n".join([header, *part, ""]))


def runs_of(database: Path) -> list[dict[str, str]]:
    """The state of each node, run by run."""
    store = mlmd.MetadataStore(sqlite_connection(database))
    state = type(store.get_executions()[0]).State.Name
    found = []
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda one: int(one.id)):
        states = {}
        for execution in store.get_executions_by_context(run.id):
            (node,) = [one for one in store.get_contexts_by_execution(execution.id) if one.type == "node"]
            states[node.name] = state(execution.last_known_state)
        found.append(states)
    return found


def spans_of(database: Path) -> list[int]:
    """The span of each ingest, in their order."""
    examples = mlmd.MetadataStore(sqlite_connection(database)).get_artifacts_by_type("Examples")
    found = {one.id: one.custom_properties["span"].int_value for one in examples if "CsvExampleGen" in one.uri}
    return [found[number] for number in sorted(found)]


def test_a_package_of_stock_components_leaves_what_local_dag_runner_leaves(tmp_path: Path):
    local, package = tmp_path / "local", tmp_path / "iris.yaml"
    write_spans(local)
    # Its wheel of `module_file` wants pip, which environments of uv have not.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "UNSUPPORTED_DO_NOT_PACKAGE_USER_MODULES": "1"}
    command = [sys.executable, "-c", LOCAL]
    ran = subprocess.run(command, cwd=local, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-5000:]

    place = "examples.iris.pipeline:create_pipeline"
    made = finetune("compile", "examples/iris/placement.yaml", "--pipeline", place, "-o", package, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    volume, workspace = tmp_path / "volume", tmp_path / "w"
    write_spans(volume)
    for number in range(3):
        results = replay(package, workspace, volumes={"finetune": volume})
        assert {one.state for one in results} <= {"ran", "cached"}, "\n".join(one.log.read_text() for one in results)
        assert len(results) == 3
        if number == 0:
            (volume / "span-2").rename(volume / "data" / "iris" / "span-2")

    databases = local / "metadata.sqlite", workspace / "metadata.sqlite"
    assert runs_of(databases[1]) == runs_of(databases[0])
    assert spans_of(databases[1]) == spans_of(databases[0]) == [1, 2]

    expected, found = (artifact_files_of_runs(folder / "artifacts" / "iris") for folder in (local, volume))
    assert found.keys() == expected.keys()
    different = {name for name in expected if not same_content(expected[name], found[name])}
    print(sorted(different))
    assert not different

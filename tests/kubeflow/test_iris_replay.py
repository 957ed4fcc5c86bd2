"""The pipeline of `examples/iris`, of TFX's own components: replays of its package beside LocalDagRunner.

Three follow one another, as spans come. Others do the first again, several at a time: FINETUNE_REPLAYS of them.
"""

from __future__ import annotations

import ensurepip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import numpy as np
import pytest
from command_line import REPLAYS, ROOT, finetune
from run_states import states_of_runs
from sklearn.datasets import load_iris

from pipeline.metadata_connection import sqlite_connection

pytestmark = pytest.mark.long

PIPELINE = "examples.iris.pipeline:create_pipeline"
LOCAL = """
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from examples.iris.pipeline import create_pipeline

pipeline = create_pipeline()
pipeline.metadata_connection_config = metadata.sqlite_metadata_connection_config("metadata.sqlite")
LocalDagRunner().run(pipeline)
"""
SPAN = 75
# More than most machines have processors for, as each has processes of its own.
AT_A_TIME = 4
COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
# LocalDagRunner runs all nodes in one process, in which the names of functions count up: answers are compared.
GRAPHS = ("saved_model.pb", "fingerprint.pb")


def write_span(folder: Path, number: int) -> None:
    iris = load_iris()
    rows = np.random.default_rng(0).permutation(len(iris.target))[SPAN * (number - 1) : SPAN * number]
    lines = [",".join((*COLUMNS, "kind"))]
    lines += [",".join(map(str, (*iris.data[row], iris.target[row]))) for row in rows]
    place = folder / "data" / "iris" / f"span-{number}"
    place.mkdir(parents=True)
    (place / "iris.csv").write_text("\n".join(lines) + "\n")


def run_locally(folder: Path) -> None:
    """Runs it as without this project, which chooses another Keras for itself.

    LocalDagRunner installs the code beside a `module_file` with pip, which comes with Python as a wheel.
    """
    (pip,) = Path(ensurepip.__path__[0]).glob("_bundled/pip-*.whl")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(pip)))
    done = subprocess.run(
        [sys.executable, "-c", LOCAL], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "iris.yaml"
    done = finetune("compile", "examples/iris/placement.yaml", "--pipeline", PIPELINE, "-o", path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return path


def run_package(package: Path, workspace: Path, here: Path) -> None:
    """Replays it once, with a folder as its volume."""
    done = finetune("replay", package, "--workspace", workspace, "--volume", f"finetune={here}", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folders(package: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Replayed, its workspace, and run locally: on a span, on a newer one, and on nothing new."""
    folder = tmp_path_factory.mktemp("iris")
    here, workspace, local = folder / "volume", folder / "w", folder / "local"
    for run in (1, 2, 3):
        if run < 3:
            write_span(here, run)
            write_span(local, run)
        run_package(package, workspace, here)
        run_locally(local)
    return here, workspace, local


def files(folder: Path) -> dict[str, Path]:
    """Files of artifacts and of what was pushed, by their place in it.

    Runs are counted, where TFX has numbers of its own. Left out is what the runners do by themselves: where they keep
    code, and what they note for the executors.
    """
    root, pushed = folder / "artifacts" / "iris", folder / "pushed" / "iris"
    outputs = [
        path for path in root.glob("*/*") if path.parent.name not in ("_code", "_wheels") and path.name != ".system"
    ]
    found: dict[str, Path] = {}
    for output in (*outputs, pushed):
        name = str(output.relative_to(root)) if output != pushed else "pushed"
        for run, version in enumerate(sorted(output.iterdir(), key=lambda path: int(path.name))):
            for path in filter(Path.is_file, version.rglob("*")):
                # The folder of a cached analysis has the digest of the path of the examples in its name.
                place = re.sub(r"-STAR-\w+", "-STAR", str(path.relative_to(version)))
                found[f"{name}/{run}/{place}"] = path
    return found


def test_nodes_run_and_are_cached_alike(folders):
    _, workspace, local = folders
    stores = [mlmd.MetadataStore(sqlite_connection(place / "metadata.sqlite")) for place in (workspace, local)]
    replayed, ran = map(states_of_runs, stores)
    assert replayed == ran
    assert len(ran) == 3
    assert ran[0] != ran[2], "the third run is cached"


def test_artifacts_are_the_same_files_with_the_same_bytes(folders):
    here, _, local = folders
    replayed, ran = files(here), files(local)
    assert {name.split("/")[0] for name in ran} >= {"Trainer", "Transform", "Evaluator", "Pusher", "pushed"}
    assert differing(replayed, ran) == []


def differing(found: dict[str, Path], expected: dict[str, Path]) -> list[str]:
    """The files that one side alone has, or that differ, graphs left out."""
    both = [name for name in expected if name in found and Path(name).name not in GRAPHS]
    others = [name for name in both if content(name)(expected[name]) != content(name)(found[name])]
    return sorted(set(found) ^ set(expected)) + others


def test_models_answer_alike_bit_for_bit(folders):
    here, _, local = folders
    replayed, ran = files(here), files(local)
    models = served(ran)
    assert len(models) == 8, "of two Trainers, and of three Pushers, each with what it pushed"
    for name in models:
        probabilities = answers(ran[name])
        assert (probabilities.argmax(axis=1) == load_iris().target).mean() > 0.8
        np.testing.assert_array_equal(answers(replayed[name]), probabilities, err_msg=name)


def served(found: dict[str, Path]) -> list[str]:
    """The graphs of models, less those of Transform."""
    return [name for name in found if name.endswith("saved_model.pb") and not name.startswith("Transform")]


def answers(graph: Path) -> np.ndarray:
    """What a model says of every iris: probabilities of shape (150, 3), float32."""
    import tensorflow as tf

    rows = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in zip(COLUMNS, row, strict=True)
                }
            )
        ).SerializeToString()
        for row in load_iris().data
    ]
    serve = tf.saved_model.load(str(graph.parent)).signatures["serving_default"]
    return serve(examples=tf.constant(rows))["probabilities"].numpy()


def test_replays_beside_others_leave_what_the_local_run_leaves(folders, package: Path, tmp_path: Path):
    _, _, local = folders
    ran = {name: path for name, path in files(local).items() if re.match(r"(\w+/\w+|pushed)/0/", name)}
    expected = {name: answers(ran[name]) for name in served(ran)}
    assert len(expected) == 3, "of the Trainer, and of the Pusher with what it pushed"

    def replayed(number: int) -> dict[str, Path]:
        here = tmp_path / f"replay-{number}"
        write_span(here, 1)
        run_package(package, here / "w", here)
        return files(here)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for found in pool.map(replayed, range(REPLAYS)):
            assert differing(found, ran) == []
            for name, probabilities in expected.items():
                np.testing.assert_array_equal(answers(found[name]), probabilities, err_msg=name)


def content(name: str) -> Callable[[Path], Any]:
    """How the content of a file is read that runs of one runner do not write alike either."""
    if "/transformed_examples/" in name:
        return _examples
    if name.endswith("eval_config.json"):
        return lambda path: {**json.loads(path.read_text()), "modelLocations": None}
    if name.endswith("FeatureStats.pb"):
        return _statistics
    return Path.read_bytes


def _examples(path: Path) -> list[dict[str, Any]]:
    """Examples, in whatever order their features are."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
    features = [tf.train.Example.FromString(record).features.feature for record in records]
    return [{name: str(one[name]) for name in one} for one in features]


def _statistics(path: Path) -> str:
    """Statistics to six digits: their sums of floating-point numbers follow the order of Beam's bundles."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    read = str(statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()))
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", lambda number: f"{float(number[0]):.6g}", read)

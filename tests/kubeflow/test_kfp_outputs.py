"""What KFP's interface shows, as the SDK's own artifact classes and executor leave it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl.executor import Executor

from finetune_kubeflow.task.kfp_outputs import Shown, confusion_matrix, metrics, path_of, write_outputs

CLASSES, COUNTS = ["disc", "square"], [[5, 1], [0, 7]]


@pytest.mark.parametrize(
    "uri", ["gs://bucket/a/report", "minio://mlpipeline/v2/artifacts/x/report", "s3://b/report", "/tmp/w/report"]
)
def test_files_are_where_the_sdk_has_them(uri: str):
    assert str(path_of(uri)) == dsl.Artifact(uri=uri).path


def executor_input(folder: Path) -> dict[str, Any]:
    """As KFP's driver makes it."""
    kinds = {"report": dsl.HTML, "scores": dsl.Metrics, "matrix": dsl.ClassificationMetrics, "model": dsl.Model}
    artifacts = {
        name: {
            "artifacts": [
                {"name": name, "type": {"schemaTitle": kind.schema_title}, "uri": str(folder / name), "metadata": {}}
            ]
        }
        for name, kind in kinds.items()
    }
    return {"inputs": {}, "outputs": {"artifacts": artifacts, "outputFile": str(folder / "output.json")}}


def test_outputs_are_those_of_a_component_of_the_sdk(tmp_path: Path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"

    def component(report, scores, matrix, model):
        Path(report.path).write_text("<p>good</p>")
        scores.log_metric("accuracy", 0.9)
        scores.log_metric("loss", 0.25)
        matrix.log_confusion_matrix(CLASSES, COUNTS)
        model.framework = "TensorFlow"
        for artifact in (scores, matrix, model):
            Path(artifact.path).write_text("")

    kinds = {"report": dsl.HTML, "scores": dsl.Metrics, "matrix": dsl.ClassificationMetrics, "model": dsl.Model}
    component.__annotations__ = {name: dsl.Output[kind] for name, kind in kinds.items()}
    theirs.mkdir()
    Executor(executor_input(theirs), component).execute()
    shown = {
        "report": Shown("<p>good</p>"),
        "scores": metrics({"accuracy": 0.9, "loss": 0.25, "auc": math.nan, "cost": math.inf}),
        "matrix": confusion_matrix(CLASSES, COUNTS),
        "model": Shown("", {"framework": "TensorFlow"}),
    }
    write_outputs(json.dumps(executor_input(ours)), shown)
    files = [{file.name: file.read_text() for file in folder.iterdir()} for folder in (ours, theirs)]
    told = [json.loads(each.pop("output.json").replace(str(ours), str(theirs))) for each in files]
    assert files[0] == files[1]
    assert told[0] == told[1]


def test_without_classes_there_is_no_matrix():
    assert confusion_matrix([], []) == confusion_matrix(CLASSES, []) == Shown("")

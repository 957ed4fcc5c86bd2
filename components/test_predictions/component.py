"""The TFX component: served models over the test split, scores and samples out."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageOps
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.test_predictions.scores import choose_samples, score
from transforms import features

RESULT_FILE = "test_predictions.json"
BATCH = 32
SAMPLES = 24
THUMBNAIL = (192, 192)
SHOWN_CHARACTERS = 500


class TestPredictions(types.Artifact):
    """Folder with `test_predictions.json` and the thumbnails that it names."""

    TYPE_NAME = "TestPredictions"


class TestPredictionsSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {"sample_count": component_spec.ExecutionParameter(type=int)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "scratch_model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {"predictions": component_spec.ChannelParameter(type=TestPredictions)}


class Executor(base_executor.BaseExecutor):
    """Scores the candidate, and the from-scratch baseline when there is one."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `test_predictions.json` and `samples/*.jpg`.

        The file holds the scores of `components.test_predictions.scores.score`, `predictions` (path, label, predicted,
        probability of each example), `samples` (the same with `image`, a file name, or `text`) and `baselines` by name.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        folder = artifact_utils.get_single_uri(output_dict["predictions"])
        examples = input_dict["examples"]
        rows, classes = _predict(_model_path(input_dict["model"]), examples)
        result = score([row["label"] for row in rows], [row["predicted"] for row in rows], classes)
        chosen = choose_samples(
            [row["label"] == row["predicted"] for row in rows],
            [row["probability"] for row in rows],
            exec_properties["sample_count"],
        )
        shown = _show(examples, chosen, os.path.join(folder, "samples"))
        baselines = {}
        if input_dict.get("scratch_model"):
            scratch, _ = _predict(_model_path(input_dict["scratch_model"]), examples)
            scored = score([row["label"] for row in scratch], [row["predicted"] for row in scratch], classes)
            baselines["from_scratch"] = {name: scored[name] for name in ("accuracy", "macro_f1")}
        result |= {
            "predictions": rows,
            "samples": [{**rows[index], **shown[index]} for index in chosen],
            "baselines": baselines,
        }
        with open(os.path.join(folder, RESULT_FILE), "w", encoding="utf-8") as file:
            json.dump(result, file)


class TestPredictor(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = TestPredictionsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        scratch_model: types.BaseChannel | None = None,
    ):
        """Takes raw examples with a split called `test`, the candidate, and the from-scratch baseline if any."""
        spec = TestPredictionsSpec(
            examples=examples,
            model=model,
            scratch_model=scratch_model,
            predictions=types.Channel(type=TestPredictions),
            sample_count=SAMPLES,
        )
        super().__init__(spec=spec)


def _model_path(models: list[types.Artifact]) -> str:
    return path_utils.serving_model_path(artifact_utils.get_single_instance(models).uri)


def _test_examples(examples: list[types.Artifact]) -> Iterator[tuple[bytes, Any]]:
    """Yields (serialised, features) of each raw example of the test split, always in the same order."""
    import tensorflow as tf

    folder = artifact_utils.get_split_uri(examples, "test")
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "*")))
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        yield record, tf.train.Example.FromString(record).features.feature


def _predict(model_path: str, examples: list[types.Artifact]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns one row per example, and the class names in the order of the model's outputs, sorted for people."""
    import tensorflow as tf

    serve = tf.saved_model.load(model_path).signatures["serving_default"]
    rows: list[dict[str, Any]] = []
    classes: list[str] = []

    def run(batch: list[tuple[bytes, Any]]) -> None:
        nonlocal classes
        outputs = serve(tf.constant([record for record, _ in batch]))
        probabilities = outputs["probabilities"].numpy()
        labels = outputs["label"].numpy()
        classes = classes or sorted(name.decode() for name in outputs["classes"].numpy()[0])
        for (_, feature), row, label in zip(batch, probabilities, labels, strict=True):
            rows.append(
                {
                    "path": _text(feature[features.PATH]),
                    "label": _text(feature[features.LABEL]),
                    "predicted": label.decode(),
                    "probability": float(row.max()),
                }
            )

    batch: list[tuple[bytes, Any]] = []
    for example in _test_examples(examples):
        batch.append(example)
        if len(batch) == BATCH:
            run(batch)
            batch = []
    if batch:
        run(batch)
    return rows, classes


def _show(examples: list[types.Artifact], chosen: list[int], folder: str) -> dict[int, dict[str, str]]:
    """What the report shows of each chosen example: the name of a thumbnail, which is written, or a text."""
    os.makedirs(folder, exist_ok=True)
    wanted, shown = set(chosen), {}
    for index, (_, feature) in enumerate(_test_examples(examples)):
        if index not in wanted:
            continue
        if features.TEXT in feature:
            shown[index] = {"text": _text(feature[features.TEXT])[:SHOWN_CHARACTERS]}
            continue
        shown[index] = {"image": f"samples/{index}.jpg"}
        with Image.open(io.BytesIO(feature[features.IMAGE].bytes_list.value[0])) as image:
            thumbnail = ImageOps.contain(image.convert("RGB"), THUMBNAIL)
        thumbnail.save(os.path.join(folder, f"{index}.jpg"), quality=85)
    return shown


def _text(feature: Any) -> str:
    return feature.bytes_list.value[0].decode("utf-8", "replace")

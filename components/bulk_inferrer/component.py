"""The TFX component: served models over the test split; predictions, scores and samples out."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.modalities import MODALITIES as PREVIEWS
from components.bulk_inferrer.tasks import TASKS, InferrerTask
from components.bulk_inferrer.test_set import make_test_set, save_test_set
from evaluation.evidence import CANDIDATE, CHAMPION
from evaluation.scores import choose_samples
from finetune.artifacts.evaluation_results import EvaluationResults
from finetune.errors import RunError
from transforms import features
from transforms.modalities import MODALITIES

BATCH = 32
SAMPLES = 24
MAJORITY = "majority"
# Baselines that are models of their own, under the names of their inputs.
TRAINED_BASELINES = ("logistic_regression", "from_scratch")


class TestPredictions(types.Artifact):
    """Folder with `test_set.npz`, `test_predictions.json` and the thumbnails that it names."""

    TYPE_NAME = "TestPredictions"


class TestPredictionsSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "sample_count": component_spec.ExecutionParameter(type=int),
        "columns": component_spec.ExecutionParameter(type=str),
        "majority": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        **{
            name: component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True)
            for name in TRAINED_BASELINES
        },
    }
    OUTPUTS = {"predictions": component_spec.ChannelParameter(type=TestPredictions)}


class Executor(base_executor.BaseExecutor):
    """Asks the candidate, the champion and the baselines about the same examples."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `test_set.npz`, `finetune.artifacts.EvaluationResults` and `samples/*.jpg`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        folder = artifact_utils.get_single_uri(output_dict["predictions"])
        examples = input_dict["examples"]
        columns = json.loads(exec_properties["columns"])
        task = TASKS[exec_properties["task"]]
        paths, labels, values = _facts(examples, columns)
        inputs = {CANDIDATE: "model", CHAMPION: "champion", **{name: name for name in TRAINED_BASELINES}}
        models = {
            name: _predict(task, _model_path(input_dict[key]), examples)
            for name, key in inputs.items()
            if input_dict.get(key)
        }
        if exec_properties["majority"]:
            models[MAJORITY] = _majority(task, examples, len(labels))
        test_set = make_test_set(exec_properties["task"], labels, values, models)
        save_test_set(test_set, folder)

        candidate = test_set.of(CANDIDATE)
        confidence, correct = task.confidence(candidate).tolist(), candidate.correct.tolist()
        answers = task.shown(candidate, test_set.classes)
        rows = [
            {"path": path, **answer, "probability": sure}
            for path, answer, sure in zip(paths, answers, confidence, strict=True)
        ]
        chosen = choose_samples(correct, confidence, exec_properties["sample_count"])
        shown = _show(examples, chosen, os.path.join(folder, "samples"))
        result = task.score(candidate, test_set.classes) | {
            "predictions": rows,
            "samples": [{**rows[index], **shown[index]} for index in chosen],
        }
        EvaluationResults.model_validate(result).write(folder)


class BulkInferrer(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = TestPredictionsSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        champion: types.BaseChannel,
        baselines: Mapping[str, types.BaseChannel],
        task: str,
        columns: Sequence[str],
        majority: bool,
    ):
        """Takes what is asked about what.

        Args:
            task: One of `components.bulk_inferrer.tasks.TASKS`.
            examples: Raw, with splits called `train` and `test`.
            model: The candidate.
            champion: Empty when there is none.
            baselines: Models by name, out of `TRAINED_BASELINES`.
            columns: Raw features to keep, for slices.
            majority: Whether the baseline that always says the most frequent class is wanted too.
        """
        spec = TestPredictionsSpec(
            examples=examples,
            model=model,
            champion=champion,
            predictions=types.Channel(type=TestPredictions),
            task=task,
            sample_count=SAMPLES,
            columns=json.dumps(list(columns)),
            majority=int(majority),
            **baselines,
        )
        super().__init__(spec=spec)


def _model_path(models: list[types.Artifact]) -> str:
    return path_utils.serving_model_path(artifact_utils.get_single_instance(models).uri)


def _test_examples(examples: list[types.Artifact]) -> Iterator[tuple[bytes, Any]]:
    return _examples(examples, "test")


def _examples(examples: list[types.Artifact], split: str) -> Iterator[tuple[bytes, Any]]:
    """Yields (serialised, features) of each raw example of a split, always in the same order."""
    import tensorflow as tf

    from transforms.records import read_records

    folder = artifact_utils.get_split_uri(examples, split)
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "*")))
    for record in read_records(files).as_numpy_iterator():
        yield record, tf.train.Example.FromString(record).features.feature


def _facts(
    examples: list[types.Artifact], columns: Sequence[str]
) -> tuple[list[str], list[list[str]], dict[str, list[str]]]:
    """Returns path, labels and the values of columns of each test example; an empty text where there is none."""
    paths, labels = [], []
    values: dict[str, list[str]] = {column: [] for column in columns}
    for _, feature in _test_examples(examples):
        paths.append(_text(feature[features.PATH]))
        labels.append(_labels(feature[features.LABEL]))
        for column in columns:
            values[column].append(_text(feature[column]))
    return paths, labels, values


def _predict(task: InferrerTask, model_path: str, examples: list[types.Artifact]) -> Answers:
    """Asks a model about each test example.

    Raises:
        RunError: The model serves another task.
    """
    import tensorflow as tf

    serve = tf.saved_model.load(model_path).signatures["serving_default"]
    found: list[np.ndarray] = []
    said: list[np.ndarray] = []
    names: list[str] = []
    records = (record for record, _ in _test_examples(examples))
    while batch := list(itertools.islice(records, BATCH)):
        outputs = {name: value.numpy() for name, value in serve(tf.constant(batch)).items()}
        found.append(outputs["probabilities"])
        names = names or [name.decode() for name in outputs["classes"][0]]
        try:
            decided = task.said(outputs)
        except KeyError as missing:
            raise RunError(
                f"{model_path} serves {', '.join(sorted(outputs))} and not {missing}; expected a model of the task "
                "that the config names. Where the champion is of another task, take a new `name` or `output_dir`."
            ) from None
        if decided is not None:
            said.append(decided)
    return Answers(np.concatenate(found), names, np.concatenate(said) if said else None)


def _majority(task: InferrerTask, examples: list[types.Artifact], count: int) -> Answers:
    """What a model says that knows the shares of the classes in train, and nothing else."""
    labels = [_labels(feature[features.LABEL]) for _, feature in _examples(examples, "train")]
    one = task.majority(labels)

    def for_all(values: np.ndarray) -> np.ndarray:
        return np.tile(values, (count, 1))

    return Answers(for_all(one.probabilities), one.classes, None if one.said is None else for_all(one.said))


def _show(examples: list[types.Artifact], chosen: list[int], folder: str) -> dict[int, dict[str, str]]:
    """What the report shows of each chosen example: the name of a thumbnail, which is written, or a text."""
    os.makedirs(folder, exist_ok=True)
    wanted, shown = set(chosen), {}
    for index, (_, feature) in enumerate(_test_examples(examples)):
        if index in wanted:
            modality = next(name for name, each in MODALITIES.items() if each.raw in feature)
            value = feature[MODALITIES[modality].raw].bytes_list.value[0]
            preview = PREVIEWS[modality].preview(value, Path(folder, str(index)))
            shown[index] = {key: f"samples/{found}" if key == "image" else found for key, found in preview.items()}
    return shown


def _labels(feature: Any) -> list[str]:
    return [value.decode("utf-8", "replace") for value in feature.bytes_list.value]


def _text(feature: Any) -> str:
    kind = feature.WhichOneof("kind")
    value = next(iter(getattr(feature, kind).value), "") if kind else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

"""The TFX component: served models over the test split; predictions, scores and samples out."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.modalities import MODALITIES as PREVIEWS
from components.bulk_inferrer.shard import Shard
from components.bulk_inferrer.tasks import TASKS
from components.bulk_inferrer.test_set import classes_of, load_test_set, make_test_set, save_test_set
from components.champion.choice import learned_from
from components.split_files import split_files
from evaluation import retrieval
from evaluation.disagreement import contrast, examples_to_show
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.scores import choose_samples
from finetune import buckets
from finetune.artifacts.evaluation_results import EvaluationResults
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.split_digests import SplitDigests
from finetune.artifacts.test_sketch import TestSketch
from transforms.modalities import MODALITIES

SAMPLES = 24
PREDICTIONS_FILE = "predictions.csv"
MAJORITY = "majority"
# Baselines that are models of their own, under the names of their inputs.
TRAINED_BASELINES = ("logistic_regression", "from_scratch", "teacher")


class TestPredictions(types.Artifact):
    """Folder with `test_set`, `test_sketch.json`, `predictions.csv`, `test_predictions.json` and its thumbnails."""

    TYPE_NAME = "TestPredictions"


class TestPredictionsSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {
        "task": component_spec.ExecutionParameter(type=str),
        "sample_count": component_spec.ExecutionParameter(type=int),
        "columns": component_spec.ExecutionParameter(type=str),
        "majority": component_spec.ExecutionParameter(type=int),
        "push_directory": component_spec.ExecutionParameter(type=str),
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


class Executor(base_beam_executor.BaseBeamExecutor):
    """Asks the candidate, the champion and the baselines about the same examples, each of which is read once."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the test set, a row of `predictions.csv` for each example, `EvaluationResults` and `samples/*.jpg`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        folder = artifact_utils.get_single_uri(output_dict["predictions"])
        task = exec_properties["task"]
        inputs = {CANDIDATE: "model", CHAMPION: "champion", **{name: name for name in TRAINED_BASELINES}}
        models = {name: _model_path(input_dict[key]) for name, key in inputs.items() if input_dict.get(key)}
        files = split_files(input_dict["examples"], "test")
        shards = [Path(folder, "shards", f"{place:05d}.npz") for place in range(len(files))]
        fileio.makedirs(str(shards[0].parent))
        self._ask(task, models, json.loads(exec_properties["columns"]), list(zip(files, map(str, shards), strict=True)))
        majority = None
        if exec_properties["majority"]:
            train = IngestReport.read(artifact_utils.get_single_uri(input_dict["examples"])).splits["train"]
            majority = TASKS[task].majority(train.classes, train.examples)
        learned = None
        if input_dict.get("champion"):
            champion = artifact_utils.get_single_uri(input_dict["champion"])
            learned = learned_from(buckets.folder(exec_properties["push_directory"]), champion)
        test_set = _join(task, shards, majority, learned, folder)
        TestSketch.of(digest for shard in map(Shard.read, shards) for digest in shard.digests).write(folder)

        candidate = test_set.of(CANDIDATE)
        confidence = TASKS[task].confidence(candidate)
        chosen = choose_samples(candidate.correct.tolist(), confidence.tolist(), exec_properties["sample_count"])
        found = contrast(test_set)
        differing = examples_to_show(found, confidence) if found else []
        wanted = [*chosen, *(number for number, _ in differing)]
        rows = _write_predictions(test_set, confidence, shards, wanted, Path(folder, PREDICTIONS_FILE))
        masks = (models[CANDIDATE], test_set.classes) if TASKS[task].has_masks else None
        counts = dict(zip(files, map(len, map(Shard.read, shards)), strict=True))
        shown = _show(counts, wanted, Path(folder, "samples"), masks)
        result = TASKS[task].score(candidate, test_set.classes) | {
            "samples": [{**rows[number], **shown[number]} for number in chosen]
        }
        if found:
            result["disagreement"] = found.summary()
            result["differing"] = [
                {**rows[number], **shown[number], **_champion(test_set, number), "slice": name, "better": better}
                for number, name in differing
                for better in [bool(found.gain[number] > 0)]
            ]
        EvaluationResults.model_validate(result).write(folder)
        shutil.rmtree(shards[0].parent)

    def _ask(
        self, task: str, models: Mapping[str, str], columns: Sequence[str], elements: list[tuple[str, str]]
    ) -> None:
        # TensorFlow takes seconds to import, which whoever only wires the DAG need not wait for.
        from components.bulk_inferrer.inference import AskModels

        with self._make_beam_pipeline() as pipeline:
            (
                pipeline
                | "Files" >> beam.Create(elements, reshuffle=True)
                | "Ask" >> beam.ParDo(AskModels(task, models, columns)).with_output_types(type(None))
            )


class BulkInferrer(base_beam_component.BaseBeamComponent):
    """The node."""

    SPEC_CLASS = TestPredictionsSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        champion: types.BaseChannel,
        baselines: Mapping[str, types.BaseChannel],
        task: str,
        columns: Sequence[str],
        majority: bool,
        push_directory: str,
    ):
        """Takes what is asked about what.

        Args:
            task: One of `components.bulk_inferrer.tasks.TASKS`.
            examples: Raw, with a split called `test`, and the `IngestReport` of the data.
            model: The candidate.
            champion: Empty when there is none.
            baselines: Models by name, out of `TRAINED_BASELINES`.
            columns: Raw features to keep, for slices; `span` only where the data have spans.
            majority: Whether the baseline that always says the most frequent class is wanted too.
            push_directory: Folder of versions, or the run-time value that becomes one: it says what the champion
                learned from.
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
            push_directory=push_directory,
            **baselines,
        )
        super().__init__(spec=spec)


def _model_path(models: list[types.Artifact]) -> str:
    return path_utils.serving_model_path(artifact_utils.get_single_instance(models).uri)


def _join(
    task: str, shards: Sequence[Path], majority: Answers | None, learned: SplitDigests | None, folder: str
) -> TestSet:
    """Makes one test set of what the workers left, a file at a time."""
    known: set[str] = set()
    examples = 0
    for shard in map(Shard.read, shards):
        known.update(classes_of(shard.labels, [*shard.models.values(), *([majority] if majority else [])]))
        examples += len(shard)
    classes = sorted(known)

    ranked = _ranks(shards, bool(majority))

    def part(shard: Shard, start: int) -> TestSet:
        models = dict(shard.models)
        if majority:
            models[MAJORITY] = _for_all(majority, len(shard))
        known = None if learned is None else np.array([learned.get(digest) is not None for digest in shard.digests])
        ranks = {name: rows[start : start + len(shard)] for name, rows in ranked.items()}
        facts = classes, known, shard.digests, ranks, shard.objects
        return make_test_set(task, shard.labels, shard.columns, models, *facts)

    def parts() -> Iterator[TestSet]:
        start = 0
        for shard in map(Shard.read, shards):
            yield part(shard, start)
            start += len(shard)

    save_test_set(parts(), examples, folder)
    return load_test_set(folder)


def _ranks(shards: Sequence[Path], by_chance: bool) -> dict[str, np.ndarray]:
    """Ranks what belongs together among all examples, for each model with vectors, and for one that knows nothing.

    Returns:
        int [examples, 2] by model, as `evaluation.retrieval` has them; nothing where no model has vectors.
    """
    contents: list[np.ndarray] = []
    vectors: dict[str, list[np.ndarray]] = defaultdict(list)
    for shard in map(Shard.read, shards):
        if shard.contents is None:
            return {}
        contents.append(shard.contents)
        for name, answers in shard.models.items():
            if answers.vectors is not None:
                vectors[name].append(answers.vectors)
    if not vectors:
        return {}
    known = np.concatenate(contents)
    found = {name: retrieval.ranks(np.concatenate(rows), known) for name, rows in vectors.items()}
    return {**found, MAJORITY: retrieval.by_chance(known)} if by_chance else found


def _for_all(one: Answers, count: int) -> Answers:
    """What a model says that says the same of every example."""
    said = None if one.said is None else np.tile(one.said, (count, 1))
    return Answers(np.tile(one.probabilities, (count, 1)), one.classes, said)


def _write_predictions(
    test_set: TestSet, confidence: np.ndarray, shards: Sequence[Path], chosen: Iterable[int], path: Path
) -> dict[int, dict[str, Any]]:
    """Writes what the candidate says of each example; returns that of the chosen ones, as `Sample` has it."""
    candidate, task = test_set.of(CANDIDATE), TASKS[test_set.task]
    wanted, rows, start = set(chosen), {}, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "predicted", "probability"])
        for shard in map(Shard.read, shards):
            numbers = range(start, start + len(shard))
            shown = task.shown(candidate[start : numbers.stop], test_set.classes)
            for number, source, answer in zip(numbers, shard.paths, shown, strict=True):
                row = {"path": source, **answer, "probability": float(confidence[number])}
                table.writerow([row[key] for key in ("path", "label", "predicted", "probability")])
                if number in wanted:
                    rows[number] = row
            start = numbers.stop
    return rows


def _champion(test_set: TestSet, number: int) -> dict[str, Any]:
    """What the champion says of one example, as `Sample` has it."""
    task, alone = TASKS[test_set.task], test_set.of(CHAMPION)[np.array([number])]
    (answer,) = task.shown(alone, test_set.classes)
    return {"champion": answer["predicted"], "champion_probability": float(task.confidence(alone)[0])}


def _show(
    examples: Mapping[str, int], chosen: Iterable[int], folder: Path, masks: tuple[str, Sequence[str]] | None
) -> dict[int, dict[str, str]]:
    """What the report shows of each chosen example: names of files, which are written, or a text.

    Args:
        examples: How many each file has, in order; files without any that is chosen are not read.
        chosen: Their numbers, over all files.
        folder: Gets the files.
        masks: Folder of the model whose masks are shown, and all classes; None where examples have no masks.
    """
    import tensorflow as tf

    from components.bulk_inferrer.shown_masks import ShownMasks
    from transforms.records import read_records

    folder.mkdir(exist_ok=True)
    of_masks = ShownMasks(*masks) if masks else None
    shown, start = {}, 0
    for file, count in examples.items():
        wanted = {number for number in chosen if start <= number < start + count}
        for number, record in enumerate(itertools.islice(read_records([file]), count if wanted else 0), start):
            if number in wanted:
                feature = tf.train.Example.FromString(record.numpy()).features.feature
                modality = next(name for name, each in MODALITIES.items() if each.raw in feature)
                value = feature[MODALITIES[modality].raw].bytes_list.value[0]
                preview = PREVIEWS[modality].preview(value, folder / str(number))
                if of_masks:
                    preview |= of_masks.write(record.numpy(), folder / str(number))
                shown[number] = {key: found if key == "text" else f"samples/{found}" for key, found in preview.items()}
        start += count
    return shown

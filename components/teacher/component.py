"""The TFX component: a teacher and raw examples in; what it says of those to learn from, and the teacher, out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.example_gen.tasks import TASKS
from components.split_files import split_files
from finetune.artifacts.ingest_report import IngestReport
from finetune.errors import RunError
from finetune.events import Note, Progress, emit

NODE_ID = "Teacher"
# Those that a model learns from: validation examples too, as a last fit may take both.
SPLITS = ("train", "val")


class TeacherAnswers(types.Artifact):
    """Folder of `trainer_module.distillation.answers.Answers`, and of transformed examples without labels."""

    TYPE_NAME = "TeacherAnswers"


class TeacherSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "answers": component_spec.ChannelParameter(type=TeacherAnswers),
    }


class Executor(base_executor.BaseExecutor):
    """Asks the teacher about each example that no run with it has asked about."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the teacher to `model`; writes what it says of train, val and pictures without labels to `answers`.

        Raises:
            DataError: Its classes are not those of the examples.
            RunError: It is not served, or answers another question; or there is no champion to be one.
        """
        # TensorFlow takes seconds to import, which whoever only wires the DAG need not wait for.
        import tensorflow_transform as tft

        from components.teacher.asking import Teacher
        from components.teacher.unlabelled import Unlabelled
        from components.teacher.unlabelled_examples import UnlabelledExamples
        from trainer_module.distillation.answers import UNLABELLED_FILE, Answers
        from trainer_module.recipe import class_names

        self._log_startup(input_dict, output_dict, exec_properties)
        settings = json.loads(exec_properties["settings"])
        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        raw = artifact_utils.get_single_instance(input_dict["examples"])
        model = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(output_dict["model"])))
        # The evaluation asks the same model, whatever becomes of the folder.
        source = settings["teacher"] or _champion(input_dict)
        shutil.copytree(source, model)
        classes = class_names(graph)
        teacher = Teacher(source, model, settings["task"], classes)
        kept = settings["example_cache"]
        cache = teacher.cache(Path(kept["dir"]), kept["gb"] * 2**30)
        counts = IngestReport.read(raw.uri).splits
        progress = _Progress(sum(counts[split].examples for split in SPLITS))
        found: dict[str, np.ndarray[Any, Any]] = {}
        for split in SPLITS:
            found |= teacher.answers(_values(raw, split, settings["modality"]), cache, progress.step)
        emit(Note(text=f"{NODE_ID}: {source} was asked about {len(found):,} examples of train and val"))
        folder = Path(artifact_utils.get_single_uri(output_dict["answers"]))
        if settings["unlabelled"]:
            known = found.keys() | {key for key, _ in _values(raw, "test", settings["modality"])}
            pictures = Unlabelled(Path(settings["unlabelled"]), known, settings["max_pixels"])
            examples = UnlabelledExamples(graph, settings["modality"], classes, TASKS[settings["task"]].one_label)
            answered = teacher.answered(pictures.pictures(), cache, progress.step)
            said = examples.write(answered, folder / UNLABELLED_FILE)
            emit(Note(text=f"{NODE_ID}: {pictures.sentence(len(said))}", level="info" if said else "warning"))
            found |= said
        cache.tidy()
        Answers(list(found), np.stack(list(found.values()))).write(folder)


class Teacher(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = TeacherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        champion: types.BaseChannel | None,
        settings: dict[str, Any],
    ):
        """Takes what is asked about, and who.

        Args:
            examples: Raw, with the splits train and val.
            transform_graph: Of Transform, which knows the order of the classes.
            champion: The model that teaches; empty while there is none. None where the settings name the teacher.
            settings: `teacher`, the folder of a SavedModel, or None for the champion; `teacher_sha256`, its digest;
                `task` and `modality`; `example_cache` with `dir` and `gb`, where its answers are kept; `unlabelled`, a
                folder of pictures or None, its digest in `unlabelled_sha256`, and `max_pixels` of each.
        """
        spec = TeacherSpec(
            examples=examples,
            transform_graph=transform_graph,
            champion=champion,
            settings=json.dumps(settings, sort_keys=True),
            model=types.Channel(type=standard_artifacts.Model),
            answers=types.Channel(type=TeacherAnswers),
        )
        super().__init__(spec=spec)


def _champion(input_dict: dict[str, list[types.Artifact]]) -> str:
    """Returns the folder of its SavedModel."""
    if not input_dict.get("champion"):
        raise RunError(
            "training.distillation.teacher: got 'champion', and no model of this pipeline is pushed yet. Push one "
            "first, without a teacher or with the folder of a SavedModel as its teacher."
        )
    return str(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["champion"])))


class _Progress:
    def __init__(self, total: int):
        self._done, self._total = 0, total

    def step(self, count: int) -> None:
        self._done += count
        unit = "examples that the teacher was asked about"
        emit(Progress(component=NODE_ID, done=self._done, total=self._total, unit=unit))


def _values(raw: types.Artifact, split: str, modality: str) -> Iterator[tuple[str, bytes]]:
    """Yields key and raw feature of each example."""
    import tensorflow as tf

    from transforms import features
    from transforms.modalities import MODALITIES
    from transforms.records import read_records

    for record in read_records(split_files([raw], split)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        key = feature[features.SHA256].bytes_list.value[0].decode()
        yield key, feature[MODALITIES[modality].raw].bytes_list.value[0]

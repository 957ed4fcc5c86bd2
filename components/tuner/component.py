"""TFX's Tuner, whose search is ours; its outputs are as TFX has them, with `tuning.json` beside the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.trainer import fn_args_utils
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from components.teacher.component import TeacherAnswers
from components.trainer.component import TEACHER
from finetune.artifacts.tuning import Tuning
from finetune.files import write_text

BEST = standard_component_specs.BEST_HYPERPARAMETERS_KEY
RESULTS = standard_component_specs.TUNER_RESULTS_KEY
# As TFX's own executor names them.
BEST_FILE, RESULTS_FILE = "best_hyperparameters.txt", "tuner_results.json"


class TunerSpec(standard_component_specs.TunerSpec):
    """What TFX's Tuner has; answers to learn."""

    INPUTS = {
        **standard_component_specs.TunerSpec.INPUTS,
        TEACHER: component_spec.ChannelParameter(type=TeacherAnswers, optional=True),
    }


class Executor(base_executor.BaseExecutor):
    """Has `tuner_fn` search, and writes what it returns."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        arguments = fn_args_utils.get_common_fn_args(input_dict, exec_properties)
        teacher = input_dict.get(TEACHER)
        arguments.custom_config[TEACHER] = artifact_utils.get_single_uri(teacher) if teacher else None
        search = udf_utils.get_fn(exec_properties, standard_component_specs.TUNER_FN_KEY)
        found = search(arguments)
        if found is None:
            return
        tuning, best = found
        write_text(Path(artifact_utils.get_single_uri(output_dict[BEST]), BEST_FILE), json.dumps(best))
        results = artifact_utils.get_single_uri(output_dict[RESULTS])
        write_text(Path(results, RESULTS_FILE), json.dumps(_rows(tuning)))
        tuning.write(results)


class Tuner(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, tuner_fn: str, settings: dict[str, Any], **inputs: types.BaseChannel | None):
        """Args:
        tuner_fn: Dotted name of the function that searches: from `FnArgs` to a `Tuning` and the best values, as
            Keras Tuner's `HyperParameters.get_config` has them; or to None in a process that helps another.
        settings: Its `custom_config`, plain JSON data.
        **inputs: Those of TunerSpec; the examples have the splits `train` and `val`.
        """
        spec = TunerSpec(
            tuner_fn=tuner_fn,
            custom_config=json.dumps(settings),
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["val"]),
            best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
            tuner_results=types.Channel(type=standard_artifacts.TunerResults),
            **inputs,
        )
        super().__init__(spec=spec)


def _rows(found: Tuning) -> list[dict[str, Any]]:
    """Returns trials with a score as TFX's Tuner writes them: best first, a column for each value."""
    order = sorted(found.done, key=lambda trial: trial.score or 0.0, reverse=found.higher_is_better)
    return [{"trial_id": str(trial.number), "score": trial.score, **trial.values} for trial in order]

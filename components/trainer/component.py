"""TFX's Trainer, with what the champion's Trainer left and what a teacher said as further inputs."""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.components.trainer import executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from components.teacher.component import TeacherAnswers

CHAMPION, TEACHER = "champion", "teacher"


class TrainerSpec(standard_component_specs.TrainerSpec):
    """What TFX's Trainer has; the champion's model run where training may begin with its weights; answers to learn."""

    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        CHAMPION: component_spec.ChannelParameter(type=standard_artifacts.ModelRun, optional=True),
        TEACHER: component_spec.ChannelParameter(type=TeacherAnswers, optional=True),
    }


class Executor(executor.GenericExecutor):
    """Tells `run_fn` the folders of both, or None: `champion` and `teacher` of its `custom_config`."""

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        arguments = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        for name in (CHAMPION, TEACHER):
            found = input_dict.get(name)
            arguments.custom_config[name] = artifact_utils.get_single_uri(found) if found else None
        return arguments


class Trainer(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, run_fn: str, settings: dict[str, Any], **inputs: types.BaseChannel | None):
        """Args:
        run_fn: Dotted name of the function that trains.
        settings: Its `custom_config`, plain JSON data.
        **inputs: Those of TrainerSpec; the examples have the splits `train` and `val`.
        """
        spec = TrainerSpec(
            run_fn=run_fn,
            custom_config=json.dumps(settings),
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["val"]),
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
            **inputs,
        )
        super().__init__(spec=spec)

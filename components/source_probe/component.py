"""The TFX component: examples of an earlier task and a training in; what its backbone still gives for that task out."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from finetune.events import Note, emit

NODE_ID, EXAMPLES_NODE_ID = "SourceProbe", "SourceExampleGen"


class SourceTaskFolder(types.Artifact):
    """Folder with `source_task.json`."""

    TYPE_NAME = "SourceTask"


class SourceProbeSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }
    OUTPUTS = {"findings": component_spec.ChannelParameter(type=SourceTaskFolder)}


class Executor(base_executor.BaseExecutor):
    """Probes the backbone before and after training."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `finetune.artifacts.SourceTask`."""
        # TensorFlow takes seconds to import, which whoever only wires the DAG need not wait for.
        import tensorflow_transform as tft

        from components.source_probe.examples import write_transformed
        from trainer_module.recipe import class_names
        from trainer_module.source_probe import probe_source

        self._log_startup(input_dict, output_dict, exec_properties)
        settings = json.loads(exec_properties["settings"])
        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        raw = artifact_utils.get_single_instance(input_dict["examples"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "examples")
            label_of = write_transformed(raw, graph, settings["modality"], class_names(graph)[0], path)
            model_run = artifact_utils.get_single_uri(input_dict["model_run"])
            found = probe_source(settings, graph, str(path), label_of, model_run)
        found.write(artifact_utils.get_single_uri(output_dict["findings"]))
        emit(Note(text=f"{NODE_ID}: {found.sentence}"))


class SourceProbe(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = SourceProbeSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        model_run: types.BaseChannel,
        settings: dict[str, Any],
    ):
        """Takes what is probed, and on what.

        Args:
            examples: Raw, of the earlier task, each with one label.
            transform_graph: Of Transform.
            model_run: Of the Trainer, with the weights that it left.
            settings: As of `trainer_module.recipe.run_fn`, and `modality`.
        """
        spec = SourceProbeSpec(
            examples=examples,
            transform_graph=transform_graph,
            model_run=model_run,
            settings=json.dumps(settings, sort_keys=True),
            findings=types.Channel(type=SourceTaskFolder),
        )
        super().__init__(spec=spec)

"""TFX's Pusher with an atomic push, a model card, and a person's approval where the config asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils

from components.gate_keeper.verdict_folder import VerdictFolder
from components.pusher.facts import gather, learned_from
from components.serving_gate.component import DIGEST_PROPERTY, ServingFindingsFolder
from finetune.artifacts.pushed_version import MODEL_SHA256, PENDING_MODEL, PushRecord
from finetune.buckets import folder
from finetune.errors import RunError
from registry.approval import stage
from registry.model_card import card_files
from registry.versions import PENDING, model_digest, push_version


class PushSpec(component_spec.ComponentSpec):
    """What TFX's Pusher has, and what the model card is made of."""

    PARAMETERS = standard_component_specs.PusherSpec.PARAMETERS
    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "verdict": component_spec.ChannelParameter(type=VerdictFolder),
        "serving": component_spec.ChannelParameter(type=ServingFindingsFolder),
    }
    OUTPUTS = standard_component_specs.PusherSpec.OUTPUTS


class Executor(executor.Executor):
    """Pushes a blessed model as the next whole version, or puts it where it waits; an unblessed one not at all."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes `input_dict["model"]` to the folder of versions that `custom_config` names.

        Raises:
            RunError: The model is not the one that the ServingGate served, or the destination cannot be written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict) and not settings["report_only"]:
            self._MarkNotPushed(pushed)
            return
        directory = folder(settings["directory"])
        model = Path(self.GetModelPath(input_dict))
        digest = _checked_digest(model, input_dict)
        files = card_files(gather(input_dict, settings, digest))
        record = PushRecord(
            pipeline=settings["name"],
            model_uri=artifact_utils.get_single_uri(input_dict[standard_component_specs.MODEL_KEY]),
        )
        pushed.set_string_custom_property(MODEL_SHA256, digest)
        examples, history = (artifact_utils.get_single_uri(input_dict[name]) for name in ("examples", "model_run"))
        learned = learned_from(examples, history, directory)
        if settings["approval"] == "required":
            version = stage(model, directory, files, record, settings["keep"], learned)
        else:
            # First, so that a run that fails for want of room has pushed nothing.
            io_utils.copy_dir(str(model), pushed.uri)
            version, _ = push_version(model, directory, files, record, settings["keep"], learned)
        if version.parent.name == PENDING:
            self._MarkNotPushed(pushed)
            pushed.set_string_custom_property(PENDING_MODEL, str(version))
            return
        if settings["approval"] == "required":
            io_utils.copy_dir(str(model), pushed.uri)
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)


class AtomicPusher(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = PushSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, settings: dict[str, Any], **inputs: types.BaseChannel):
        """Args:
        settings: `directory`, the folder of versions; `name` of the pipeline; `keep` (versions); `approval` (none or
            required); and `report_only` (gates do not decide).
        **inputs: Those of PushSpec.
        """
        spec = PushSpec(
            custom_config=json.dumps(settings, sort_keys=True),
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            **inputs,
        )
        super().__init__(spec=spec)


def _checked_digest(model: Path, inputs: dict[str, list[types.Artifact]]) -> str:
    blessing = artifact_utils.get_single_instance(inputs[standard_component_specs.INFRA_BLESSING_KEY])
    served, digest = blessing.get_string_custom_property(DIGEST_PROPERTY), model_digest(model)
    if served != digest:
        raise RunError(
            f"{model} has changed since the ServingGate served it: its digest is {digest[:12]}, and was {served[:12]}. "
            "Nothing was pushed. Change training.seed, or remove the folder of this run, to train again."
        )
    return digest

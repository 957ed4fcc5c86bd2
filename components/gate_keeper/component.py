"""The TFX component: what was measured in, the blessing that the Pusher obeys out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.bulk_inferrer.component import TestPredictions
from components.bulk_inferrer.test_set import load_test_set
from components.evaluator.eval_config import tfma_decides
from components.evaluator.results import tfma_failures
from components.serving_gate.component import ServingFindingsFolder
from evaluation.verdict import Tfma, findings, judge_all
from finetune.artifacts.findings import ServingFindings, Verdict
from finetune.config.evaluation import GateConfig
from finetune.events import Note, emit

BLESSED_FILE, NOT_BLESSED_FILE = "BLESSED", "NOT_BLESSED"


class VerdictFolder(types.Artifact):
    """Folder with `verdict.json`."""

    TYPE_NAME = "GateVerdict"


class GateKeeperSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {
        "gates": component_spec.ExecutionParameter(type=str),
        "slices": component_spec.ExecutionParameter(type=str),
        "costs": component_spec.ExecutionParameter(type=str),
        "report_only": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "predictions": component_spec.ChannelParameter(type=TestPredictions),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "tfma_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "serving": component_spec.ChannelParameter(type=ServingFindingsFolder),
    }
    OUTPUTS = {
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "verdict": component_spec.ChannelParameter(type=VerdictFolder),
    }


class Executor(base_executor.BaseExecutor):
    """Judges, and blesses or not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `finetune.artifacts.Verdict`, and the blessing as TFX's Evaluator writes its own."""
        self._log_startup(input_dict, output_dict, exec_properties)
        gates = [GateConfig.model_validate(gate) for gate in json.loads(exec_properties["gates"])]
        test_set = load_test_set(artifact_utils.get_single_uri(input_dict["predictions"]))
        test_set = replace(test_set, costs=json.loads(exec_properties["costs"]))
        evaluation = artifact_utils.get_single_uri(input_dict["evaluation"])
        tfma = Tfma(
            blessed=_tfma_blessed(artifact_utils.get_single_uri(input_dict["tfma_blessing"])),
            expected=any(
                tfma_decides(gate) and (gate.relative_to is None or gate.relative_to in test_set.probabilities)
                for gate in gates
            ),
            failures=tuple(tfma_failures(evaluation)),
        )
        serving = ServingFindings.read(artifact_utils.get_single_uri(input_dict["serving"]))
        results = judge_all(gates, test_set, tfma, serving.gates)
        failed = [result for result in results if not result.passed]
        blessed = not failed or bool(exec_properties["report_only"])
        for result in failed:
            emit(Note(text=f"GateKeeper: {result.name}: {result.reason}", level="warning"))
        verdict = Verdict(
            passed=not failed,
            blessed=blessed,
            report_only=blessed and bool(failed),
            gates=results,
            **findings(test_set, json.loads(exec_properties["slices"])).plain(),
        )
        verdict.write(artifact_utils.get_single_uri(output_dict["verdict"]))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        Path(blessing.uri, BLESSED_FILE if blessed else NOT_BLESSED_FILE).touch()
        blessing.set_int_custom_property("blessed", int(blessed))


class GateKeeper(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = GateKeeperSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        predictions: types.BaseChannel,
        evaluation: types.BaseChannel,
        tfma_blessing: types.BaseChannel,
        serving: types.BaseChannel,
        gates: Sequence[GateConfig],
        slices: Sequence[Sequence[str]],
        costs: Mapping[str, Mapping[str, float]],
        report_only: bool,
    ):
        """Takes what BulkInferrer, Evaluator and ServingGate found.

        Args:
            predictions: Of every model on the test split.
            evaluation: TFMA's metrics and validation.
            tfma_blessing: TFMA's verdict.
            serving: The gates on the exported model, judged.
            gates: All of the config.
            slices: What the report cuts the test split by, each one column or a cross of two.
            costs: As `evaluation.costs`.
            report_only: Whether to bless whatever the gates say.
        """
        spec = GateKeeperSpec(
            predictions=predictions,
            evaluation=evaluation,
            tfma_blessing=tfma_blessing,
            serving=serving,
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            verdict=types.Channel(type=VerdictFolder),
            gates=json.dumps([json.loads(gate.model_dump_json()) for gate in gates]),
            slices=json.dumps([list(columns) for columns in slices]),
            costs=json.dumps(costs, sort_keys=True),
            report_only=int(report_only),
        )
        super().__init__(spec=spec)


def _tfma_blessed(folder: str) -> bool | None:
    """TFX's Evaluator leaves a file; none when there was no threshold to decide by."""
    if Path(folder, BLESSED_FILE).exists():
        return True
    return False if Path(folder, NOT_BLESSED_FILE).exists() else None

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
from components.champion import looks
from components.champion.decision_folder import DecisionFolder
from components.champion.drifted import SPANS, latest_of_each
from components.evaluator.eval_config import tfma_decides
from components.evaluator.results import tfma_failures
from components.gate_keeper.verdict_folder import VerdictFolder
from components.serving_gate.component import ServingFindingsFolder
from components.source_probe.component import SourceTaskFolder
from evaluation.reuse import Look, reuse_of
from evaluation.source_task import judge_source
from evaluation.verdict import Tfma, drifted_spans, findings, judge_all
from finetune.artifacts.findings import Reuse, ServingFindings, Verdict
from finetune.artifacts.source_task import SourceTask
from finetune.artifacts.test_sketch import TestSketch
from finetune.config.evaluation import GateConfig
from finetune.events import Note, emit

BLESSED_FILE, NOT_BLESSED_FILE = "BLESSED", "NOT_BLESSED"


class GateKeeperSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {
        "gates": component_spec.ExecutionParameter(type=str),
        "slices": component_spec.ExecutionParameter(type=str),
        "costs": component_spec.ExecutionParameter(type=str),
        "promotion_risk": component_spec.ExecutionParameter(type=str),
        "report_only": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "predictions": component_spec.ChannelParameter(type=TestPredictions),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "earlier": component_spec.ChannelParameter(type=VerdictFolder, optional=True),
        "decisions": component_spec.ChannelParameter(type=DecisionFolder, optional=True),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "tfma_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "serving": component_spec.ChannelParameter(type=ServingFindingsFolder),
        "source_task": component_spec.ChannelParameter(type=SourceTaskFolder, optional=True),
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
        said = [(one.id, one.get_string_custom_property(SPANS)) for one in input_dict.get("decisions", [])]
        test_set = replace(test_set, costs=json.loads(exec_properties["costs"]), drifted=latest_of_each(said))
        evaluation = artifact_utils.get_single_uri(input_dict["evaluation"])
        learned = None if test_set.learned is None else int(test_set.learned.sum())
        asked = [
            gate
            for gate in gates
            if tfma_decides(gate) and (gate.relative_to is None or gate.relative_to in test_set.probabilities)
        ]
        tfma = Tfma(
            blessed=_tfma_blessed(artifact_utils.get_single_uri(input_dict["tfma_blessing"])),
            expected=bool(asked),
            failures=tuple(tfma_failures(evaluation)),
        )
        if learned and any(gate.relative_to for gate in asked):
            # It compares on what the champion learned from too, which says nothing.
            tfma = Tfma(blessed=None, expected=False)
        serving = ServingFindings.read(artifact_utils.get_single_uri(input_dict["serving"]))
        verdict_folder = artifact_utils.get_single_instance(output_dict["verdict"])
        risk = json.loads(exec_properties["promotion_risk"])
        reuse = _reuse(gates, input_dict, serving.model_sha256, risk, verdict_folder)
        if learned:
            share = f"{learned:,} of {len(test_set.labels):,} test examples"
            left_out = f"GateKeeper: the champion learned from {share}, which no comparison with it counts"
            emit(Note(text=left_out, level="warning"))
        reuse = reuse.model_copy(update={"learned": learned}) if reuse else None
        probed = input_dict.get("source_task")
        source = SourceTask.read(artifact_utils.get_single_uri(probed)) if probed else None
        results = judge_all(gates, test_set, tfma, [*serving.gates, *judge_source(gates, source)], reuse)
        failed = [result for result in results if not result.passed]
        blessed = not failed or bool(exec_properties["report_only"])
        for result in failed:
            emit(Note(text=f"GateKeeper: {result.name}: {result.reason}", level="warning"))
        verdict = Verdict(
            passed=not failed,
            blessed=blessed,
            report_only=blessed and bool(failed),
            gates=results,
            reuse=reuse,
            drifted=drifted_spans(gates, test_set),
            **findings(test_set, json.loads(exec_properties["slices"])).plain(),
        )
        verdict.write(verdict_folder.uri)
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
        model: types.BaseChannel,
        champion: types.BaseChannel,
        earlier: types.BaseChannel,
        decisions: types.BaseChannel,
        evaluation: types.BaseChannel,
        tfma_blessing: types.BaseChannel,
        serving: types.BaseChannel,
        source_task: types.BaseChannel | None,
        gates: Sequence[GateConfig],
        slices: Sequence[Sequence[str]],
        costs: Mapping[str, Mapping[str, float]],
        promotion_risk: float | None,
        report_only: bool,
    ):
        """Takes what BulkInferrer, Evaluator, ServingGate and SourceProbe found.

        Args:
            predictions: Of every model on the test split.
            model: The candidate.
            champion: Empty when there is none.
            earlier: The verdicts before, each a look at a test split.
            decisions: To train or not, which say of spans whether they are like what the champion was made with.
            evaluation: TFMA's metrics and validation.
            tfma_blessing: TFMA's verdict.
            serving: The gates on the exported model, judged.
            source_task: What probes of it found; None where the config has none.
            gates: All of the config.
            slices: What the report cuts the test split by, each one column or a cross of two.
            costs: As `evaluation.costs`.
            promotion_risk: Of a false promotion, over all looks at the same test examples; None bounds nothing.
            report_only: Whether to bless whatever the gates say.
        """
        spec = GateKeeperSpec(
            predictions=predictions,
            model=model,
            champion=champion,
            earlier=earlier,
            decisions=decisions,
            evaluation=evaluation,
            tfma_blessing=tfma_blessing,
            serving=serving,
            source_task=source_task,
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            verdict=types.Channel(type=VerdictFolder),
            gates=json.dumps([json.loads(gate.model_dump_json()) for gate in gates]),
            slices=json.dumps([list(columns) for columns in slices]),
            costs=json.dumps(costs, sort_keys=True),
            promotion_risk=json.dumps(promotion_risk),
            report_only=int(report_only),
        )
        super().__init__(spec=spec)


def _reuse(
    gates: Sequence[GateConfig],
    inputs: dict[str, list[types.Artifact]],
    model_sha256: str,
    risk: float | None,
    verdict: types.Artifact,
) -> Reuse | None:
    """Counts the looks at the test split up to this one, which is noted on the verdict; without a champion none."""
    if not inputs.get("champion"):
        return None
    champion = artifact_utils.get_single_uri(inputs["champion"])
    sketch = TestSketch.read(artifact_utils.get_single_uri(inputs["predictions"]))
    earlier = [
        Look(
            one.get_string_custom_property(looks.MODEL_SHA256),
            one.get_string_custom_property(looks.CHAMPION_URI),
            TestSketch.from_text(one.get_string_custom_property(looks.TEST_SKETCH)),
        )
        for one in inputs.get("earlier", [])
    ]
    reuse = reuse_of(gates, Look(model_sha256, champion, sketch), earlier, risk)
    if reuse is not None:
        verdict.set_string_custom_property(looks.MODEL_URI, artifact_utils.get_single_uri(inputs["model"]))
        verdict.set_string_custom_property(looks.CHAMPION_URI, champion)
        verdict.set_string_custom_property(looks.MODEL_SHA256, model_sha256)
        verdict.set_string_custom_property(looks.TEST_SKETCH, sketch.to_text())
    return reuse


def _tfma_blessed(folder: str) -> bool | None:
    """TFX's Evaluator leaves a file; none when there was no threshold to decide by."""
    if Path(folder, BLESSED_FILE).exists():
        return True
    return False if Path(folder, NOT_BLESSED_FILE).exists() else None

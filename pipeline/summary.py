"""What a run did, collected from MLMD and its artifacts: the summary for scripts and the data for the report."""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from pathlib import Path
from typing import Any, Literal, TypeVar

from finetune.artifacts.backbone_ranking import BackboneRanking
from finetune.artifacts.base import Artifact
from finetune.artifacts.data_findings import STOPPED, DataFindings
from finetune.artifacts.evaluation_results import EvaluationResults, Sample
from finetune.artifacts.findings import Findings, ServingFindings, ServingMetrics, Verdict
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.pushed_version import MODEL_SHA256, PENDING_MODEL
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import ComponentRun, RunSummary
from finetune.artifacts.training_history import BackboneOrigin, TrainingHistory
from finetune.artifacts.tuning import Tuning
from finetune.buckets import folder
from finetune.config import BackboneConfig, Config
from pipeline.code_digest import installed
from pipeline.plan import ingest_node_id
from pipeline.saved_report import LOG_FILE, REPORT_FILE
from registry.approval import published_version
from registry.versions import served_instead
from trainer_module.backbones.sources import origin_of, record_of, source_of
from transforms.features import SPAN

_VERSIONED = ("tfx", "tensorflow", "tf-keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")

# MLMD's output artifacts of each node that succeeded, by output name.
Outputs = Mapping[str, Mapping[str, Any]]
Found = TypeVar("Found", bound=Artifact)
Shown = TypeVar("Shown", bound=Sample)


def collect(
    config: Config,
    run_id: str,
    run_dir: Path,
    outputs: Outputs,
    components: Sequence[ComponentRun],
    seconds: float,
    error: str | None,
    ending: Literal["checked", "tuned", "refused"] | None = None,
    decision: RetrainDecision | None = None,
) -> ReportData:
    """Collects what the run left behind, the summary among it; parts that a failed run did not reach are empty.

    Args:
        config: Of the run.
        run_id: TFX's pipeline run id.
        run_dir: Where summary, report and log are written.
        outputs: What the nodes left.
        components: The nodes that ended.
        seconds: Wall time of the run.
        error: Why the run failed, or its data were refused; None otherwise.
        ending: How a run ended that was to look at its data or to search alone, or whose data were refused; None for
            any other.
        decision: That the run follows from; None where a person has asked for it.
    """
    ingest = _find(IngestReport, outputs, ingest_node_id(config), "examples")
    history = _find(TrainingHistory, outputs, "Trainer", "model_run")
    tested = _find(EvaluationResults, outputs, "BulkInferrer", "predictions")
    verdict = _find(Verdict, outputs, "GateKeeper", "verdict")
    serving = _find(ServingFindings, outputs, "ServingGate", "findings")
    checked = _data_findings(config, outputs, refused=ending == "refused")
    if checked:
        for name in checked[0].files:
            shutil.copyfile(checked[1] / name, run_dir / name)
    measured = verdict.metrics if verdict else {}
    pushed_model, pending_model = _pushed(config, outputs.get("Pusher", {}).get("pushed_model"))
    if error is None and pushed_model and not folder(pushed_model).is_dir():
        error = (
            f"push.directory: the version of this model, {pushed_model}, was pushed by an earlier run and is gone. "
            "Put it back, or change training.seed to train and push a new one."
        )
    other = served_instead(folder(pushed_model)) if pushed_model else None
    summary = RunSummary(
        run_id=run_id,
        name=config.name,
        status=ending or _status(error, pushed_model, pending_model),
        error=error,
        pushed_model=pushed_model or None if not error else None,
        served_instead=str(other) if other else None,
        pending_model=pending_model or None if not error else None,
        metrics={name: found.value for name, found in measured.items() if found.value is not None},
        champion_metrics={name: found.champion for name, found in measured.items() if found.champion is not None}
        or None,
        baselines=verdict.baselines if verdict else {},
        spans=[found for found in verdict.slices if found.slice.keys() == {SPAN}] if verdict else [],
        gates=verdict.gates if verdict else [],
        report_only=verdict.report_only if verdict else False,
        reuse=verdict.reuse if verdict else None,
        drifted=verdict.drifted if verdict else None,
        serving=serving or ServingMetrics(),
        phases=history.phases if history else [],
        ranking=_ranking(config),
        start=history.start if history else None,
        search=history.search if history else None,
        tuning=_find(Tuning, outputs, "Tuner", "tuner_results"),
        refit=history.refit if history else None,
        calibration=history.calibration if history else None,
        averaging=history.averaging if history else None,
        components=list(components),
        splits={name: split.examples for name, split in ingest.splits.items()} if ingest else {},
        left_out=dict(Counter(file.reason for file in ingest.skipped).most_common()) if ingest else {},
        data_checks=checked[0].findings if checked else [],
        modality=record_of(config.backbone).modality,
        backbone=history.backbone if history else _backbone(config),
        output_dir=str(config.output_path),
        report=str(run_dir / REPORT_FILE),
        log_file=str(run_dir / LOG_FILE),
        seconds=round(seconds, 2),
        decision=decision,
    )
    examples = outputs.get(ingest_node_id(config), {}).get("examples")
    predictions = outputs.get("BulkInferrer", {}).get("predictions")
    return ReportData(
        title=config.name,
        task=config.task,
        summary=summary,
        curves=history.curves if history else [],
        accuracy_means=history.accuracy if history else "",
        thresholds=dict(zip(history.classes, history.thresholds, strict=False)) if history else {},
        classes=tested.classes if tested else [],
        confusion=tested.confusion if tested else [],
        per_class=tested.per_class if tested else [],
        evaluation=verdict or Findings(),
        samples=_with_whole_paths(tested.samples, predictions) if tested else [],
        disagreement=tested.disagreement if tested else None,
        differing=_with_whole_paths(tested.differing, predictions) if tested else [],
        latency_ms=serving.milliseconds if serving else {},
        ingest=ingest,
        data_findings=_with_paths(*checked) if checked else None,
        config_yaml=config.to_yaml(),
        versions={"python": platform.python_version(), **{name: packages.version(name) for name in _VERSIONED}},
        code=installed().package_digests(),
        artifacts={name: found.uri for name, found in (("examples", examples), ("predictions", predictions)) if found},
    )


def _status(
    error: str | None, pushed_model: str, pending_model: str
) -> Literal["failed", "pushed", "pending", "refused"]:
    if error:
        return "failed"
    return "pushed" if pushed_model else "pending" if pending_model else "refused"


def _with_whole_paths(samples: Sequence[Shown], predictions: Any) -> list[Shown]:
    """The samples in the artifact of predictions, with the whole paths of their files."""
    return [sample.within(Path(predictions.uri)) for sample in samples]


def _ranking(config: Config) -> BackboneRanking | None:
    """Finds the ranking that the backbone of a config was chosen in."""
    found = BackboneRanking.find(config.output_path)
    return found if found and BackboneConfig.model_validate(found.winner.backbone) == config.backbone else None


def _pushed(config: Config, artifact: Any | None) -> tuple[str, str]:
    """The folder of the pushed version, and that of the model that waits for approval; "" where there is none."""
    if artifact is None:
        return "", ""
    properties = artifact.custom_properties
    destination, waiting = (properties[name].string_value for name in ("pushed_destination", PENDING_MODEL))
    if waiting and not Path(waiting).is_dir():
        # Approved since: the Pusher was served from the cache.
        destination = str(published_version(config.push_path, properties[MODEL_SHA256].string_value) or waiting)
        waiting = ""
    return destination, waiting


def _data_findings(config: Config, outputs: Outputs, refused: bool) -> tuple[DataFindings, Path] | None:
    """Returns what the checks of the data found, and the folder that it is in; None where none were made."""
    artifact = outputs.get("DataGate", {}).get("findings")
    if artifact:
        folder = Path(artifact.uri)
    elif refused:
        folder = config.output_path / "reports" / STOPPED
    else:
        return None
    found = DataFindings.find(folder)
    return (found, folder) if found else None


def _with_paths(found: DataFindings, folder: Path) -> DataFindings:
    """Makes the paths of files whole."""
    suspects = {
        check: [
            each.model_copy(update={"examples": [example.within(folder) for example in each.examples]})
            for each in of_check
        ]
        for check, of_check in found.suspects.items()
    }
    return found.model_copy(update={"suspects": suspects})


def _find(kind: type[Found], outputs: Outputs, node: str, output: str) -> Found | None:
    artifact = outputs.get(node, {}).get(output)
    return kind.find(artifact.uri) if artifact else None


def _backbone(config: Config) -> BackboneOrigin:
    """What is known without the Trainer, which also has the digest of what it downloaded."""
    return BackboneOrigin.model_validate(
        {**origin_of(config.backbone), "sha256": source_of(config.backbone).digest(config.backbone)}
    )

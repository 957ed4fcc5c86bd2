"""`report.json`: all that a run's report shows, so that the page can be made anew any time later."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from finetune.artifacts.base import Artifact
from finetune.artifacts.data_findings import DataFindings
from finetune.artifacts.disagreement import Disagreement
from finetune.artifacts.evaluation_results import ClassScore, Difference, Sample
from finetune.artifacts.findings import Findings
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CurvePoint


class ReportData(Artifact, file="report.json"):
    """What a report shows; parts that a failed run did not reach are empty.

    `classes`, `confusion`, `per_class`, `samples`, `disagreement` and `differing` are as in `EvaluationResults`,
    `data_findings` are those of the data gate, all with whole paths of images; `accuracy_means` is `accuracy` of
    `TrainingHistory`, `thresholds` are by class; `latency_ms` are those of each request, by model and batch size;
    `code` has the digest of each package of ours, `artifacts` the folders of `examples` and `predictions`.
    """

    title: str
    task: str = "single_label"
    summary: RunSummary
    curves: list[CurvePoint] = []
    accuracy_means: str = ""
    thresholds: dict[str, float] = {}
    classes: list[str] = []
    confusion: list[list[int]] = []
    per_class: list[ClassScore] = []
    evaluation: Findings = Findings()
    samples: list[Sample] = []
    disagreement: Disagreement | None = None
    differing: list[Difference] = []
    latency_ms: dict[str, dict[int, list[float]]] = {}
    ingest: IngestReport | None = None
    data_findings: DataFindings | None = None
    config_yaml: str = ""
    versions: dict[str, str] = {}
    code: dict[str, str] = {}
    artifacts: dict[str, str] = {}

    @field_validator("ingest", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """The first form had an empty report where a run did not reach its data."""
        return value or None

"""`summary.json`: what a run did, for scripts. The names of its fields are a contract; keys of a config may change."""

from __future__ import annotations

from typing import Literal

from finetune.artifacts.backbone_ranking import BackboneRanking
from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.data_findings import DataFinding
from finetune.artifacts.findings import DriftedSpan, GateResult, Reuse, ServingMetrics, SliceFindings
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.training_history import Averaging, BackboneOrigin, Calibration, PhaseRow, Refit, Search, Start
from finetune.artifacts.tuning import Tuning
from finetune.errors import NOTHING_TO_DO, PENDING, REFUSED, FinetuneError

_EXIT_CODES = {
    "pushed": 0,
    "checked": 0,
    "tuned": 0,
    "refused": REFUSED,
    "pending": PENDING,
    "nothing_to_do": NOTHING_TO_DO,
    "failed": FinetuneError.exit_code,
}


class ComponentRun(Record):
    """A node that ended."""

    id: str
    seconds: float
    state: Literal["ran", "cached", "failed", "skipped"]


class SignedApproval(Record):
    """Who let a model out, and when (ISO 8601)."""

    by: str
    at: str


class RunSummary(Artifact, file="summary.json"):
    """What a run did; parts that a failed run did not reach are empty.

    Attributes:
        run_id: TFX's pipeline run id.
        status: What became of it; `pending` waits for approval, `checked` looked at its data alone, `tuned` searched
            alone, `nothing_to_do` is a decision that there is nothing to train for.
        pushed_model: Folder of the pushed version; `served_instead` that of the one served in its place since.
        pending_model: Folder of the model that waits.
        metrics: Of the candidate on the test split, by name; `champion_metrics` and `baselines` are to compare with.
        spans: Of candidate and champion, by the task's leading metric, on the test examples of each span.
        report_only: Whether the model was pushed although a gate failed.
        reuse: How often these test examples have judged a candidate; None where there is no champion.
        drifted: Spans that are set aside where a gate asks for `span: ordinary`; None where none does.
        splits: Number of examples.
        left_out: How many files or rows of the data became no example, by reason.
        start: What training began with; None where the config does not ask for the champion.
        tuning: The search whose best values the Trainer took; None where the config asks for none.
        averaging: Of pictures with their mirror images in the exported model; None where there is none to settle.
        ranking: Of the backbones that this one was chosen from; None where the config names it.
        data_checks: What each check of the data found.
        decision: Of `finetune retrain`, and why; None of another command.
    """

    run_id: str
    name: str = ""
    status: Literal["pushed", "pending", "refused", "failed", "checked", "tuned", "nothing_to_do"]
    error: str | None = None
    pushed_model: str | None = None
    served_instead: str | None = None
    pending_model: str | None = None
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] | None = None
    baselines: dict[str, dict[str, float]] = {}
    spans: list[SliceFindings] = []
    gates: list[GateResult] = []
    report_only: bool = False
    reuse: Reuse | None = None
    drifted: list[DriftedSpan] | None = None
    serving: ServingMetrics = ServingMetrics()
    phases: list[PhaseRow] = []
    ranking: BackboneRanking | None = None
    start: Start | None = None
    search: Search | None = None
    tuning: Tuning | None = None
    refit: Refit | None = None
    calibration: Calibration | None = None
    averaging: Averaging | None = None
    mlflow_run: str | None = None
    components: list[ComponentRun] = []
    splits: dict[str, int] = {}
    left_out: dict[str, int] = {}
    data_checks: list[DataFinding] = []
    modality: str = "image"
    backbone: BackboneOrigin | None = None
    output_dir: str = ""
    report: str = ""
    log_file: str = ""
    seconds: float | None = None
    approval: SignedApproval | None = None
    decision: RetrainDecision | None = None

    @property
    def exit_code(self) -> int:
        """What a command ends with that has done the run."""
        return _EXIT_CODES[self.status]

    @property
    def failed_gates(self) -> list[GateResult]:
        """The gates that did not pass."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def data_warnings(self) -> list[DataFinding]:
        """The checks of the data that found something."""
        return [finding for finding in self.data_checks if finding.found]

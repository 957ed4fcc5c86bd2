"""`past_runs.json`: what stays of runs whose folders are gone, so that the history of a pipeline is whole."""

from __future__ import annotations

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.run_summary import RunSummary


class FailedGate(Record):
    """A gate that refused a model, and why."""

    name: str
    reason: str = ""


class PastRun(Record):
    """A run in short; the fields are those of its summary.

    Attributes:
        error: Its first line.
        failed_gates: Those that did not pass.
    """

    run_id: str
    name: str = ""
    status: str
    error: str = ""
    pushed_model: str = ""
    pending_model: str = ""
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    failed_gates: list[FailedGate] = []
    splits: dict[str, int] = {}
    seconds: float = 0.0

    @classmethod
    def of(cls, summary: RunSummary) -> PastRun:
        """Returns what stays of a run."""
        return cls(
            run_id=summary.run_id,
            name=summary.name,
            status=summary.status,
            error=(summary.error or "").partition("\n")[0],
            pushed_model=summary.pushed_model or "",
            pending_model=summary.pending_model or "",
            metrics=summary.metrics,
            champion_metrics=summary.champion_metrics or {},
            failed_gates=[FailedGate(name=gate.name, reason=gate.reason) for gate in summary.failed_gates],
            splits=summary.splits,
            seconds=summary.seconds or 0.0,
        )


class PastRuns(Artifact, file="past_runs.json"):
    """All runs whose folders are gone, in the order of their ids."""

    runs: list[PastRun] = []

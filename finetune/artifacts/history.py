"""`run_history.json`: what became of every run and version, in short; it stays when folders of runs and versions go."""

from __future__ import annotations

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import RunSummary


class Reason(Record):
    """Why a run ended as it did: a gate that failed, or a check of the data that found something.

    `name` says it in short, `sentence` for people; `bound` is what `value` was held against, None where there is none.
    """

    name: str
    sentence: str = ""
    value: float | None = None
    bound: float | None = None


class PastRun(Record):
    """A run in short; fields that a summary has too are as there.

    Attributes:
        error: Its first line.
        failed_gates: Those that refused its model, or would have.
        checks: What each check of the data measured.
        decision: Of `finetune retrain`; None of another command.
        spans: Of its model, by the task's leading metric on the test examples of each span; `champion_spans` those of
            the champion on the same examples.
    """

    run_id: str
    name: str = ""
    status: str
    error: str = ""
    pushed_model: str = ""
    pending_model: str = ""
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    spans: dict[str, float] = {}
    champion_spans: dict[str, float] = {}
    failed_gates: list[Reason] = []
    checks: list[Reason] = []
    decision: RetrainDecision | None = None
    splits: dict[str, int] = {}
    seconds: float = 0.0

    @classmethod
    def of(cls, summary: RunSummary) -> PastRun:
        """Returns what stays of a run."""
        failed = [
            Reason(name=one.name, sentence=one.reason, value=one.value, bound=one.bound) for one in summary.failed_gates
        ]
        checks = [
            Reason(name=one.check, sentence=one.sentence if one.found else "", value=one.value, bound=one.bound)
            for one in summary.data_checks
        ]
        return cls(
            run_id=summary.run_id,
            name=summary.name,
            status=summary.status,
            error=(summary.error or "").partition("\n")[0],
            pushed_model=summary.pushed_model or "",
            pending_model=summary.pending_model or "",
            metrics=summary.metrics,
            champion_metrics=summary.champion_metrics or {},
            spans={name: one.value for one in summary.spans for name in one.slice.values()},
            champion_spans={
                name: one.champion for one in summary.spans for name in one.slice.values() if one.champion is not None
            },
            failed_gates=failed,
            checks=checks,
            decision=summary.decision,
            splits=summary.splits,
            seconds=summary.seconds or 0.0,
        )


class PastVersion(Record):
    """A version of the pushed model in short; fields that a push record has too are as there.

    `metrics` are those of its model card.
    """

    version: int
    at: str = ""
    model_sha256: str = ""
    approved_by: str = ""
    approved_at: str = ""
    rolled_back_to: int | None = None
    by: str = ""
    metrics: dict[str, float] = {}


class History(Artifact, file="run_history.json"):
    """All runs in the order of their ids, and all versions in that of their numbers.

    `served` is the version that is served; None while there is none.
    """

    runs: list[PastRun] = []
    versions: list[PastVersion] = []
    served: int | None = None

"""What a webhook is told of a run."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from finetune.artifacts.base import Artifact
from finetune.artifacts.run_summary import RunSummary

# A cause is a sentence or a few; whoever wants all of it has the report.
_LONGEST_CAUSE = 1000


class Message(Artifact):
    """The body of a request. The names of its fields are a contract.

    Attributes:
        id: Of this message: where it comes twice, it is the same one.
        pipeline: Name of the config.
        outcome: `status` of the summary; `failed` where a run ended without one.
        exit_code: Of the command.
        cause: Why a run failed, a model was refused or nothing was trained; empty for another.
        run_id: Empty where no run began.
        repeated: Whether nothing had changed, and this is the answer of that earlier run.
        version: That was pushed; None for another outcome.
        metrics: Of the candidate on the test split.
        report: The page of the run, on the machine that it ran on.
        at: When the run ended (ISO 8601).
    """

    id: str
    pipeline: str
    outcome: str
    exit_code: int
    cause: str = ""
    run_id: str = ""
    repeated: bool = False
    version: int | None = None
    metrics: dict[str, float] = {}
    report: str = ""
    at: str = ""


def message_of(summary: RunSummary) -> Message:
    """Returns what is told of a run that has a summary."""
    reasons = [f"{gate.name}: {gate.reason}" for gate in summary.failed_gates]
    if summary.decision and not summary.decision.trains:
        reasons = [reason.sentence for reason in summary.decision.decisive]
    version = Path(summary.pushed_model or "").name
    return Message(
        **_stamp(),
        pipeline=summary.name,
        outcome=summary.status,
        exit_code=summary.exit_code,
        cause=(summary.error or "; ".join(reasons))[:_LONGEST_CAUSE],
        run_id=summary.run_id,
        repeated=bool(summary.components) and all(one.state == "cached" for one in summary.components),
        version=int(version) if version.isdecimal() else None,
        metrics=summary.metrics,
        report=summary.report,
    )


def failure_of(pipeline: str, cause: str, exit_code: int) -> Message:
    """Returns what is told of a command that ended without a summary."""
    return Message(**_stamp(), pipeline=pipeline, outcome="failed", exit_code=exit_code, cause=cause[:_LONGEST_CAUSE])


def _stamp() -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")}

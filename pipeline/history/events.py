"""A history as one list of events in the order of time. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from finetune.artifacts.history import History, PastRun, PastVersion, Reason
from pipeline.run_ids import start_of

# What is measured of how sets of examples differ, by the name that it has where it is measured.
DRIFT = {
    "representative": "val and test beside train (AUC)",
    "served": "train beside what was served (AUC)",
    "frozen features": "frozen features of new examples beside those before (AUC)",
    "labels": "change of the most changed label's share",
    "champion on new examples": "champion on new examples beside its test split",
}


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        at: When, in UTC; None where nothing says so.
        outcome: What became of a run, or the decision that none followed from; `approved` and `rolled back` are what a
            person did, `found` is a version that no run of this folder pushed.
        run_id: Of the run; empty for another event.
        version: That is served by it, or waited; None for another.
        metrics: Of the model, on the test split of then; `champion` those of the champion beside it.
        spans: Of the model, by the task's leading metric, on the test examples of each span; `champion_spans` those of
            the champion beside it.
        reasons: Why, one sentence each.
        drift: What was measured of how data differ from earlier ones.
    """

    at: datetime | None
    outcome: str
    run_id: str = ""
    version: int | None = None
    metrics: dict[str, float] | None = None
    champion: dict[str, float] | None = None
    spans: dict[str, float] = field(default_factory=dict)
    champion_spans: dict[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    drift: tuple[Reason, ...] = ()


def events_of(history: History) -> list[Event]:
    """Returns all events of a history, the earliest first; those without a time are put where their version is."""
    pushed_by: dict[int, PastRun] = {}
    for run in history.runs:
        if run.status == "pushed" and (number := _number(run.pushed_model)) is not None:
            # A run after it that found the model in the cache names the same version.
            pushed_by.setdefault(number, run)
    found = [_of_run(run, pushed_by) for run in history.runs]
    found += [event for version in history.versions for event in _of_version(version, pushed_by)]
    earliest = datetime.min.replace(tzinfo=timezone.utc)
    return sorted(found, key=lambda event: (event.at or earliest, event.run_id))


def _of_run(run: PastRun, pushed_by: dict[int, PastRun]) -> Event:
    version = _number(run.pushed_model)
    again = version is not None and pushed_by.get(version) is not run
    return Event(
        at=start_of(run.run_id),
        outcome=run.decision.action if run.decision and not run.decision.trains else run.status,
        run_id=run.run_id,
        version=version,
        metrics=run.metrics,
        champion=run.champion_metrics,
        spans=run.spans,
        champion_spans=run.champion_spans,
        # What follows in more lines are lists, such as of files.
        reasons=tuple(reason.partition("\n")[0] for reason in _reasons(run, again)),
        drift=tuple(_drift(run)),
    )


def _drift(run: PastRun) -> Iterator[Reason]:
    """What checks of the data and a decision to retrain measured of how sets of examples differ."""
    yield from (check for check in run.checks if check.name in DRIFT and check.value is not None)
    for reason in run.decision.reasons if run.decision else ():
        if reason.name in DRIFT and reason.value is not None:
            yield Reason(name=reason.name, sentence=reason.sentence, value=reason.value, bound=reason.bound)


def _reasons(run: PastRun, again: bool) -> Iterator[str]:
    """Why a run ended as it did, most important first."""
    if run.decision:
        reasons = " ".join(reason.sentence for reason in run.decision.decisive)
        yield f"{run.decision.action}: {reasons}" if run.decision.trains else reasons
    if again:
        yield "pushed before, by an earlier run"
    if run.error and not (run.decision and not run.decision.trains):
        yield run.error
    for gate in run.failed_gates:
        yield f"{gate.name}: {gate.sentence}" if gate.sentence else gate.name
    if run.status == "checked":
        yield from (check.sentence for check in run.checks if check.sentence)


def _of_version(version: PastVersion, pushed_by: dict[int, PastRun]) -> Iterator[Event]:
    """What people did to a version, and versions that no run here pushed."""
    number, metrics = version.version, version.metrics
    if version.rolled_back_to is not None:
        by = f", by {version.by}" if version.by else ""
        yield Event(
            time_of(version.at),
            "rolled back",
            version=number,
            reasons=(f"to the model of version {version.rolled_back_to}{by}",),
        )
    elif version.approved_by:
        reasons = (f"by {version.approved_by}",)
        yield Event(time_of(version.approved_at), "approved", version=number, metrics=metrics, reasons=reasons)
    elif number not in pushed_by:
        reasons = ("no run of this folder says that it pushed it",)
        yield Event(time_of(version.at), "found", version=number, metrics=metrics, reasons=reasons)


def _number(folder: str) -> int | None:
    name = Path(folder).name
    return int(name) if name.isdecimal() else None


def time_of(text: str) -> datetime | None:
    """Returns the time that ISO 8601 says, in UTC where it names no zone; None for what is none."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)

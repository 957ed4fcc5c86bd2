"""Decides whether to train, files the decision, and trains where that follows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from evaluation.retraining.decision import Examined, decide
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.retrain_decision import Action, RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from pipeline.local import run_pipeline
from pipeline.retraining.examination import examine
from pipeline.retraining.facts import Situation, situation
from pipeline.retraining.lineage import Lineage, store_of
from pipeline.retraining.listing import data_now
from pipeline.run_ids import new_run_id
from pipeline.saved_report import REPORT_FILE, save_report

# In the output folder; each decision has a folder there.
FOLDER = "decisions"
# So many of them are kept, the latest.
KEPT = 200
# `training.start_from` of the run that follows.
START_FROM: dict[Action, Literal["champion", "backbone"]] = {"warm": "champion", "cold": "backbone"}
_STATUS: dict[Action, Literal["nothing_to_do", "pending", "refused"]] = {
    "nothing to do": "nothing_to_do",
    "waiting": "pending",
    "stop: data": "refused",
}


Examine = Callable[[Config, Path, Situation], Examined]


@dataclass(frozen=True)
class Filed:
    """A decision in the metadata store.

    Attributes:
        id: Of its artifact.
        summary: Of a decision not to train; None where a run follows.
    """

    id: int
    decision: RetrainDecision
    summary: RunSummary | None = None


def retrain(config: Config) -> RunSummary:
    """Decides, and then trains as `run_pipeline` does, or not; returns the summary, with the decision in it.

    Where the last decision was to train, the run did not end, and nothing has come since, that run goes on.

    Raises:
        DataError: The data cannot be listed.
        RunError: Another run holds the output folder, or it cannot be written.
    """
    run_id = new_run_id()
    filed = file_decision(config, run_id, examine)
    if filed.summary:
        return filed.summary
    summary = run_pipeline(started_from(config, filed.decision), decision=filed.decision, run_id=run_id)
    if summary.status != "failed":
        Lineage(store_of(config)).end(filed.id, summary.status)
    return summary


def file_decision(config: Config, name: str, examine: Examine, run_id: str | None = None) -> Filed:
    """Decides and files that, or takes up the last decision where it was to train and the run did not end.

    Args:
        config: Of the pipeline.
        name: Of the folder of the decision; names sort by time.
        examine: Looks into new examples.
        run_id: Of the run that it belongs to, if that is not the name.

    Raises:
        DataError: The data cannot be listed.
        RunError: From `examine`, or the output folder cannot be written.
    """
    start, data, run_id = time.monotonic(), data_now(config), run_id or name
    lineage = Lineage(store_of(config))
    found = situation(config, lineage)
    if found.goes_on:
        (latest,) = found.latest
        lineage.take_up(latest.id, run_id)
        return Filed(latest.id, latest.decision)
    folder = config.output_path / FOLDER / name
    found, decision = _decided(config, found, folder, examine)
    decision.write(folder)
    if found.facts.examined:
        ExampleList.of(found.examples).write(folder)
    summary = None if decision.trains else _told(config, name, found, decision, start)
    # What the store knows of is whole. A server closes connections that lie idle meanwhile.
    filed = Lineage(store_of(config)).file(config, run_id, decision, data, folder)
    _tidy(folder.parent)
    return Filed(filed, decision, summary)


def started_from(config: Config, decision: RetrainDecision) -> Config:
    """Returns the config with the start of training that a decision says."""
    start = {"start_from": START_FROM[decision.action]}
    return config.model_copy(update={"training": config.training.model_copy(update=start)})


def explain(config: Config) -> RetrainDecision:
    """Decides, and neither records that nor trains; a look leaves a log. Errors are those of `retrain`."""
    found = situation(config, Lineage(store_of(config)))
    return _decided(config, found, config.output_path / "explained", examine)[1]


def _decided(config: Config, found: Situation, folder: Path, examine: Examine) -> tuple[Situation, RetrainDecision]:
    """Decides; a look into examples leaves its log in the folder."""
    if found.facts.worth_examining:
        found = replace(found, facts=replace(found.facts, examined=examine(config, folder, found)))
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return found, decide(found.facts, config.retrain).model_copy(update={"at": at})


def _told(config: Config, name: str, found: Situation, decision: RetrainDecision, start: float) -> RunSummary:
    """Leaves summary and report of a decision not to train, and returns the summary."""
    folder, examined = config.output_path / FOLDER / name, found.facts.examined
    summary = RunSummary(
        run_id=name,
        name=config.name,
        status=_STATUS[decision.action],
        error=(examined.refused if examined else "") or None,
        pending_model=found.facts.waiting or None,
        decision=decision,
        output_dir=str(config.output_path),
        report=str(folder / REPORT_FILE),
        seconds=round(time.monotonic() - start, 2),
    )
    save_report(folder, ReportData(title=config.name, task=config.task, summary=summary, config_yaml=config.to_yaml()))
    return summary


def _tidy(folder: Path) -> None:
    """Removes the oldest decisions, but for the latest that looked into examples, which later ones compare with."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    latest = next((path for path in reversed(folders) if ExampleList.path(path).is_file()), None)
    for path in folders[:-KEPT]:
        if path != latest:
            shutil.rmtree(path, ignore_errors=True)

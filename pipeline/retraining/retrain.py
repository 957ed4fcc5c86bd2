"""Decides whether to train, records the decision, and trains where that follows."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from evaluation.retraining.decision import decide
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.retrain_decision import Action, RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from pipeline.local import new_run_id, run_pipeline
from pipeline.retraining.examination import examine
from pipeline.retraining.facts import Situation, situation
from pipeline.retraining.lineage import Lineage, store_of
from pipeline.retraining.listing import data_now
from pipeline.saved_report import REPORT_FILE, save_report

# In the output folder; each decision has a folder there.
FOLDER = "decisions"
# So many of them are kept, the latest.
KEPT = 200
_STATUS: dict[Action, Literal["nothing_to_do", "pending", "refused"]] = {
    "nothing to do": "nothing_to_do",
    "waiting": "pending",
    "stop: data": "refused",
}


def retrain(config: Config) -> RunSummary:
    """Decides, and then trains as `run_pipeline` does, or not; returns the summary, with the decision in it.

    Where the last decision was to train, the run did not end, and nothing has come since, that run goes on.

    Raises:
        DataError: The data cannot be listed.
        RunError: Another run holds the output folder, or it cannot be written.
    """
    start, run_id, data = time.monotonic(), new_run_id(), data_now(config)
    folder = config.output_path / FOLDER / run_id
    found = situation(config, Lineage(store_of(config)))
    if found.goes_on:
        (latest,) = found.latest
        return _run(config, latest.id, RetrainDecision.read(latest.folder), None)
    found, decision = _decided(config, found, folder)
    decision.write(folder)
    if found.facts.examined:
        ExampleList.of(found.examples).write(folder)
    summary = None if decision.trains else _told(config, run_id, found, decision, start)
    # What the store knows of is whole.
    filed = Lineage(store_of(config)).file(config, run_id, decision, data, folder)
    _tidy(folder.parent)
    return summary or _run(config, filed, decision, run_id)


def explain(config: Config) -> RetrainDecision:
    """Decides, and neither records that nor trains; a look leaves a log. Errors are those of `retrain`."""
    found = situation(config, Lineage(store_of(config)))
    return _decided(config, found, config.output_path / "explained")[1]


def _decided(config: Config, found: Situation, folder: Path) -> tuple[Situation, RetrainDecision]:
    """Decides; a look into examples leaves its log in the folder."""
    if found.facts.worth_examining:
        found = replace(found, facts=replace(found.facts, examined=examine(config, folder, found)))
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return found, decide(found.facts, config.retrain).model_copy(update={"at": at})


def _told(config: Config, run_id: str, found: Situation, decision: RetrainDecision, start: float) -> RunSummary:
    """Leaves summary and report of a decision not to train, and returns the summary."""
    folder, examined = config.output_path / FOLDER / run_id, found.facts.examined
    summary = RunSummary(
        run_id=run_id,
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


def _run(config: Config, filed: int, decision: RetrainDecision, run_id: str | None) -> RunSummary:
    """Runs the pipeline from where the decision says, and notes that it has ended with an answer."""
    start = {"start_from": "champion" if decision.action == "warm" else "backbone"}
    config = config.model_copy(update={"training": config.training.model_copy(update=start)})
    summary = run_pipeline(config, decision=decision, run_id=run_id)
    if summary.status != "failed":
        Lineage(store_of(config)).end(filed, summary.status)
    return summary


def _tidy(folder: Path) -> None:
    """Removes the oldest decisions, but for the latest that looked into examples, which later ones compare with."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir())
    latest = next((path for path in reversed(folders) if ExampleList.path(path).is_file()), None)
    for path in folders[:-KEPT]:
        if path != latest:
            shutil.rmtree(path, ignore_errors=True)

"""Tells MLflow how a run ended, and which version is served since."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from finetune.artifacts.findings import ServingFindings
from finetune.artifacts.pushed_version import ModelCard
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.training_history import TrainingHistory
from finetune.config import Config
from finetune.errors import RunError
from pipeline.saved_report import REPORT_FILE, read_report
from registry.versions import CARD_TEXT_FILE
from trainer_module.tracking.entries import Candidate, Entry, Outcome, Served
from trainer_module.tracking.outcome import tell

# Below the output folder: what servers are still to have.
MLFLOW_FOLDER = "mlflow"
# A command that approves or goes back waits no longer.
_SECONDS_OF_A_COMMAND = 15.0


def tell_of_run(
    config: Config, data: ReportData, run_dir: Path, outputs: Mapping[str, Mapping[str, Any]]
) -> ReportData:
    """Tells what became of a run whose report is written, and registers its model where that was judged.

    Args:
        config: Of the run.
        data: Of its report.
        run_dir: Its folder.
        outputs: The artifacts of each node that has ended, by output name.

    Returns:
        The data with MLflow's id of the run, once the server has said it.
    """
    history = outputs.get("Trainer", {}).get("model_run")
    run = TrainingHistory.read(history.uri).tracking_run if history else ""
    if not (run and config.tracking.mlflow):
        return data
    ids = tell(
        config.tracking,
        config.output_path / MLFLOW_FOLDER,
        data.summary.run_id,
        _entries(config, data, run_dir, outputs, run),
    )
    if run not in ids:
        return data
    data = data.model_copy(update={"summary": data.summary.model_copy(update={"mlflow_run": ids[run]})})
    data.summary.write(run_dir)
    data.write(run_dir)
    return data


def tell_served(config: Config) -> None:
    """Tells that the folder of versions has changed."""
    served = Served(model=config.name, versions=str(config.push_path))
    tell(config.tracking, config.output_path / MLFLOW_FOLDER, "served", [served], _SECONDS_OF_A_COMMAND)


def config_of(place: Path) -> Config | None:
    """Returns the config of a run, given by its folder, an output folder or the `pushed` in one; None without one."""
    for folder in (place, place.parent):
        with suppress(RunError, ValidationError, yaml.YAMLError):
            return Config.model_validate(yaml.safe_load(read_report(folder)[1].config_yaml))
    return None


def _entries(
    config: Config, data: ReportData, run_dir: Path, outputs: Mapping[str, Mapping[str, Any]], run: str
) -> list[Entry]:
    summary = data.summary
    published = summary.pushed_model or summary.pending_model
    cards = [Path(published, name) for name in (CARD_TEXT_FILE, ModelCard.FILE)] if published else []
    files = [run_dir / REPORT_FILE, summary.path(run_dir), *cards]
    outcome = Outcome(
        run=run,
        metrics=summary.metrics,
        status=summary.status,
        files=[str(file) for file in files],
        texts={"config.yaml": data.config_yaml},
        at=time.time(),
    )
    served = Served(model=config.name, versions=str(config.push_path))
    judged = "verdict" in outputs.get("GateKeeper", {})
    if not judged:
        return [outcome, served]
    from tfx.utils import path_utils

    serving = ServingFindings.read(outputs["ServingGate"]["findings"].uri)
    candidate = Candidate(
        run=run,
        model=config.name,
        folder=path_utils.serving_model_path(outputs["Trainer"]["model"].uri),
        digest=serving.model_sha256,
        status=summary.status,
    )
    return [outcome, candidate, served]

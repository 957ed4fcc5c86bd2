"""A person's word on a run whose model waits: publishes the model, and says so in the run's summary and report."""

from __future__ import annotations

from pathlib import Path

from finetune.artifacts.run_summary import SignedApproval
from finetune.errors import RunError
from pipeline.saved_report import read_report, save_report
from registry.approval import Approval, approve, waiting_models
from registry.versions import PENDING, read_record, versions


def approve_run(target: Path, by: str) -> Approval:
    """Approves the model of a run; again does no harm.

    Args:
        target: A run's folder; an output folder, of which the latest run is taken; or, where there are no run folders,
            as on Kubernetes, the folder of pushed versions, of which the latest model that waits is taken.
        by: Who approves.

    Raises:
        RunError: There is nothing to approve, or another version has been published since the model was judged.
    """
    if (target / PENDING).is_dir() or versions(target):
        return _approve_latest(target, by)
    run_dir, data = read_report(target)
    summary = data.summary
    if summary.status == "pushed" and summary.pushed_model:
        return _approved_already(Path(summary.pushed_model))
    if summary.status != "pending" or summary.pending_model is None:
        raise RunError(
            f"RUN: {run_dir} was {summary.status}, so there is nothing to approve. {summary.error or ''}".strip()
        )
    waiting = Path(summary.pending_model)
    approval = approve(waiting.parents[1], waiting.name, by)
    told = summary.model_copy(
        update={
            "status": "pushed",
            "pushed_model": str(approval.version),
            "pending_model": None,
            "approval": SignedApproval(by=approval.by, at=approval.at),
        }
    )
    save_report(run_dir, data.model_copy(update={"summary": told}))
    return approval


def _approve_latest(directory: Path, by: str) -> Approval:
    waiting, existing = waiting_models(directory), versions(directory)
    if waiting:
        return approve(directory, waiting[0], by)
    if existing:
        return _approved_already(directory / str(existing[-1]))
    raise RunError(f"RUN: no model waits in {directory}.")


def _approved_already(version: Path) -> Approval:
    record = read_record(version)
    if not record.approved_by:
        raise RunError(f"RUN: {version} was pushed without an approval, and nothing else waits there.")
    return Approval(version, record.approved_by, record.approved_at, new=False)

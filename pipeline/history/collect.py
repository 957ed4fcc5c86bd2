"""Collects the history of an output folder: summaries of runs, records of versions, and what was kept of both."""

from __future__ import annotations

from pathlib import Path

from evaluation.tasks import TASKS, gates_for
from finetune.artifacts.history import History, PastRun, PastVersion
from finetune.artifacts.pushed_version import ModelCard
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from finetune.errors import RunError
from finetune.files import write_text
from pipeline.report.history import render
from registry.versions import read_record, versions

PAGE_FILE = "history.html"


def leading_metric(config: Config) -> str:
    """Returns the metric that models of a config are told apart by: that of its first gate."""
    gates = gates_for(config)
    return gates[0].metric if gates else TASKS[config.task].leading


def history_of(output: Path, push_directory: Path) -> History:
    """Returns what is known of all runs and versions, those whose folders are gone too.

    Args:
        output: An output folder; there need be none yet.
        push_directory: The folder of pushed versions.

    Raises:
        RunError: What was kept cannot be read.
    """
    kept = History.find(output) or History()
    runs = {run.run_id: run for run in kept.runs} | {run.run_id: run for run in _runs(output)}
    numbers = versions(push_directory)
    known = {one.version: one for one in kept.versions}
    known |= {number: _version(push_directory / str(number), known.get(number)) for number in numbers}
    return History(
        runs=[runs[run_id] for run_id in sorted(runs)],
        versions=[known[number] for number in sorted(known)],
        served=max(numbers, default=None),
    )


def save_history(config: Config) -> None:
    """Writes the history and its page; for whoever keeps other runs out of the output folder.

    Raises:
        RunError: What was kept before cannot be read.
    """
    history = history_of(config.output_path, config.push_path)
    history.write(config.output_path)
    write_page(config.output_path, history, leading_metric(config), config.name)


def write_page(output: Path, history: History, metric: str, title: str) -> Path:
    """Writes the page that shows a history by a metric, and returns its path."""
    path = output / PAGE_FILE
    write_text(path, render(history, metric, title), errors="backslashreplace")
    return path


def _runs(output: Path) -> list[PastRun]:
    found = []
    # Of decisions that no run followed from, too.
    for folder in [*(output / "runs").glob("*"), *(output / "decisions").glob("*")]:
        try:
            summary = RunSummary.find(folder)
        except RunError:
            continue  # It is damaged, or of a later version.
        if summary:
            found.append(PastRun.of(summary))
    return found


def _version(folder: Path, known: PastVersion | None) -> PastVersion:
    """What a version says of itself; a card that was read before is not read again."""
    record = read_record(folder)
    metrics = known.metrics if known and known.model_sha256 == record.model_sha256 else {}
    if not metrics:
        try:
            card = ModelCard.find(folder)
        except RunError:
            card = None
        measured = card.metrics if card else {}
        metrics = {name: one.value for name, one in measured.items() if one.value is not None}
    return PastVersion(
        version=int(folder.name), metrics=metrics, **record.model_dump(include=set(PastVersion.model_fields))
    )

"""From the data of a run to the HTML page: what is shown is decided here, the template only lays out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.training_history import CurvePoint, FrozenFeatures, PhaseRow
from pipeline.report import data_checks, evaluation, figures, formats
from pipeline.report.diagnosis import diagnose
from pipeline.report.differences import differences
from pipeline.report.sentences import gain, training_sentences
from pipeline.report.tasks import report_task
from pipeline.report.tuning import tuning
from pipeline.report.verdict import next_steps, verdict

FILES_SHOWN = 200
# Before and after those of the task.
FIRST_SECTIONS = {
    "decision": "Decision",
    "gates": "Gates",
    "metrics": "Metrics",
    "tuning": "Tuning",
    "training": "Training",
}
LAST_SECTIONS = {
    "calibration": "Calibration",
    "differences": "Beside the champion",
    "slices": "Slices",
    "serving": "Serving",
    "checks": "Data checks",
    "data": "Data",
    "missing": "Not reached",
    "run": "Run",
}
# Sections that a run may do without.
OPTIONAL = ("decision", "tuning", "serving", "differences", "checks")

View = dict[str, Any]


def render(data: ReportData) -> str:
    """Returns the report of one run as an HTML page that needs no network and no other file.

    A part that is missing is replaced by a sentence that says why. Everything in `data` is escaped.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    written = ("number", "count", "short_count", "percent", "duration", "label", "plural", "shortened")
    environment.filters |= {name: getattr(formats, name) for name in written} | {"gain": gain, "with_code": _with_code}
    return environment.get_template("template.html.j2").render(page(data))


def _with_code(text: str) -> Markup:
    """Escapes a text, and sets what stands between backticks in it as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def page(data: ReportData) -> View:
    """Returns all that the template shows; a part that is missing is None or empty."""
    summary, measured = data.summary, data.evaluation
    failed = summary.status == "failed"
    task = report_task(data.task)
    of_task = task.sections
    sections = FIRST_SECTIONS | {name: section.title for name, section in of_task.items()} | LAST_SECTIONS
    parts = {
        "decision": summary.decision,
        "gates": evaluation.gates(summary.gates),
        "metrics": evaluation.cards(summary, measured),
        "tuning": tuning(summary.tuning),
        "training": _training(data),
        **{name: section.view(data) for name, section in of_task.items()},
        "calibration": evaluation.calibration(
            measured.reliability, summary.metrics.get("ece"), task.judged, task.holds
        ),
        "differences": differences(data),
        "slices": evaluation.slices(measured),
        "serving": evaluation.serving(summary.serving, data.latency_ms),
        "checks": data_checks.checks(data.data_findings),
        "data": _data(data),
    }
    # A failed run tells in one sentence what it did not reach; any other run says section by section why one is empty.
    absent = [name for name, part in parts.items() if not part and name not in OPTIONAL] if failed else []
    # What looked at its data or searched alone, or was refused because of its data, was to reach nothing else.
    ended_at_data = (
        summary.status in ("checked", "tuned")
        or (summary.status == "refused" and summary.error)
        or (summary.decision is not None and not summary.decision.trains)
    )
    hidden = {*absent, *(name for name, part in parts.items() if not part and (name in OPTIONAL or ended_at_data))}
    return {
        **parts,
        "parts": parts,
        "sections": sections,
        "task_sections": of_task,
        "shown": {
            name: title for name, title in sections.items() if name not in hidden and (name != "missing" or absent)
        },
        "alone": evaluation.alone(measured),
        "absent": [sections[name].lower() for name in absent],
        "report": data,
        "summary": summary,
        "failed": failed,
        "verdict": verdict(summary),
        "next_steps": next_steps(summary),
        "longest": max((part.seconds for part in summary.components), default=0.0),
        "seed": _seed(data.config_yaml),
        "files_shown": FILES_SHOWN,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _training(data: ReportData) -> View | None:
    summary, curves = data.summary, _curves(data.curves)
    if curves is None and not summary.phases and not summary.search and not summary.ranking:
        return None
    return {
        "curves": curves,
        "phases": [{"row": phase, "notes": _notes(phase)} for phase in summary.phases],
        "sentences": training_sentences(summary),
        "findings": diagnose(data.curves, summary),
    }


def _notes(phase: PhaseRow) -> str:
    frozen = phase.frozen_features or FrozenFeatures()
    views = "new pictures in every epoch" if frozen.views == "fresh" else f"{frozen.views} views of each picture"
    up_to = f" (up to {frozen.cut})" if frozen.cut else ""
    notes = (
        "stopped early" if phase.stopped_early else "",
        f"frozen part computed once{up_to}" if phase.cached_trunk else "",
        views if frozen.views else "",
    )
    return ", ".join(filter(None, notes))


def _curves(rows: Sequence[CurvePoint]) -> View | None:
    """The learning curves, and in words what they show."""
    if not any(math.isfinite(value) for row in rows for value in (row.loss, row.accuracy, row.val_loss)):
        return None
    phases = list(dict.fromkeys(row.phase for row in rows))
    measured = [(place, row) for place, row in enumerate(rows, start=1) if math.isfinite(row.val_loss)]
    best = ""
    if measured:
        place, row = min(measured, key=lambda numbered: numbered[1].val_loss)
        best = (
            f"The lowest validation loss, {formats.number(row.val_loss)}, is at epoch {place} (in {row.phase}), with "
            f"validation accuracy {formats.number(row.val_accuracy)}."
        )
    span = f"{formats.plural(len(rows), 'epoch')} of {formats.listing(phases)}"
    return {
        "images": figures.learning_curves(rows),
        "alt": f"Loss and accuracy of training and validation over {span}. {best}".strip(),
        "best": best,
    }


def _data(data: ReportData) -> View | None:
    splits, ingest = _splits(data), data.ingest
    files = {"ingest": ingest, "sentences": _files(ingest)} if ingest else None
    return {"splits": splits, "files": files} if files or splits["sizes"] else None


def _splits(data: ReportData) -> View:
    """Examples per split, and per class and split where there is an ingest report."""
    sizes = data.summary.splits
    by_class = {name: split.classes for name, split in data.ingest.splits.items()} if data.ingest else {}
    known = dict.fromkeys(name for counts in by_class.values() for name in counts)
    names = [name for name in data.classes if name in known] + [name for name in known if name not in data.classes]
    counted = {name: [counts.get(name, 0) for counts in by_class.values()] for name in names}
    largest = max(map(sum, counted.values()), default=0)
    total = sum(sizes.values())
    return {
        "sizes": [{"name": name, "size": size, "share": _share(size, total)} for name, size in sizes.items()],
        "total": total,
        "columns": list(by_class),
        "classes": [
            {"name": name, "counts": counts, "total": sum(counts), "share": _share(sum(counts), largest)}
            for name, counts in counted.items()
        ],
    }


def _files(ingest: IngestReport) -> list[str]:
    """What became of the input files, in sentences."""
    units, across = ingest.unit, ingest.duplicates.across_splits
    used = f"{formats.count(ingest.used)} of {formats.count(ingest.files)} {units} were used."
    if ingest.bad_fraction:
        used += f" Bad ones, which data.max_bad_fraction limits, are {formats.percent(ingest.bad_fraction)} of all."
    reasons = Counter(formats.label(file.reason) for file in ingest.skipped).most_common()
    why_skipped = "None was skipped."
    if reasons:
        why_skipped = f"Skipped: {', '.join(f'{amount:,} {reason}' for reason, amount in reasons)}."
    repeated = f"Repeated within a split: {formats.plural(ingest.duplicates.within_split, units[:-1])}."
    crossing = f"Found in more than one split: {formats.plural(len(across), units[:-1])}."
    contradicting = f"Same content under different labels: {formats.plural(len(ingest.conflicts), 'case')}."
    return [used, why_skipped, repeated, crossing, contradicting]


def _seed(config_yaml: str) -> object:
    """`training.seed` of the config, or None."""
    try:
        training = (yaml.safe_load(config_yaml) or {}).get("training") or {}
        return training.get("seed")
    except (yaml.YAMLError, AttributeError):
        return None

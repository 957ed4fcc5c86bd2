"""From the data of a run to the HTML page: what is shown is decided here, the template only lays out."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from finetune.artifacts.evaluation_results import Sample
from finetune.artifacts.ingest_report import IngestReport
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.training_history import CurvePoint, FrozenFeatures, PhaseRow
from pipeline.report import evaluation, figures, wording

# Up to this many classes a confusion matrix reads well as numbers; beyond, a picture and a list of mistakes do better.
MATRIX_CLASSES = 20
CONFUSIONS_SHOWN = 10
MISTAKES_SHOWN = 24
CORRECT_SHOWN = 12
FILES_SHOWN = 200
SECTIONS = {
    "gates": "Gates",
    "metrics": "Metrics",
    "training": "Training",
    "confusion": "Confusion",
    "classes": "Classes",
    "calibration": "Calibration",
    "slices": "Slices",
    "serving": "Serving",
    "samples": "Predictions",
    "data": "Data",
    "missing": "Not reached",
    "run": "Run",
}
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

View = dict[str, Any]


def render(data: ReportData) -> str:
    """Returns the report of one run as an HTML page that needs no network and no other file.

    A part that is missing is replaced by a sentence that says why. Everything in `data` is escaped.
    """
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    formats = ("number", "count", "short_count", "percent", "duration", "label", "plural", "shortened")
    environment.filters |= {name: getattr(wording, name) for name in formats}
    return environment.get_template("template.html.j2").render(page(data))


def page(data: ReportData) -> View:
    """Returns all that the template shows; a part that is missing is None or empty."""
    summary, measured = data.summary, data.evaluation
    failed = summary.status == "failed"
    parts = {
        "gates": evaluation.gates(summary.gates),
        "metrics": evaluation.cards(summary, measured),
        "training": _training(data.curves, summary.phases),
        "confusion": _confusion(data.confusion, data.classes),
        "classes": evaluation.classes(data.per_class, measured.classes),
        "calibration": evaluation.calibration(measured.reliability, summary.metrics.get("ece")),
        "slices": evaluation.slices(measured),
        "serving": evaluation.serving(summary.serving, data.latency_ms),
        "samples": _samples(data.samples),
        "data": _data(data),
    }
    # A failed run tells in one sentence what it did not reach; any other run says section by section why one is empty.
    absent = [name for name, part in parts.items() if not part and name != "serving"] if failed else []
    hidden = {*absent, *([] if parts["serving"] else ["serving"])}
    return {
        **parts,
        "sections": SECTIONS,
        "shown": {
            name: title for name, title in SECTIONS.items() if name not in hidden and (name != "missing" or absent)
        },
        "absent": [SECTIONS[name].lower() for name in absent],
        "report": data,
        "summary": summary,
        "failed": failed,
        "verdict": wording.verdict(summary),
        "next_steps": wording.next_steps(summary),
        "longest": max((part.seconds for part in summary.components), default=0.0),
        "seed": _seed(data.config_yaml),
        "files_shown": FILES_SHOWN,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _training(rows: Sequence[CurvePoint], phases: Sequence[PhaseRow]) -> View | None:
    curves = _curves(rows)
    if curves is None and not phases:
        return None
    return {"curves": curves, "phases": [{"row": phase, "notes": _notes(phase)} for phase in phases]}


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
            f"The lowest validation loss, {wording.number(row.val_loss)}, is at epoch {place} (in {row.phase}), with "
            f"validation accuracy {wording.number(row.val_accuracy)}."
        )
    span = f"{wording.plural(len(rows), 'epoch')} of {wording.listing(phases)}"
    return {
        "images": figures.learning_curves(rows),
        "alt": f"Loss and accuracy of training and validation over {span}. {best}".strip(),
        "best": best,
    }


def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> View | None:
    """The matrix as cells or as a picture, and its largest mistakes; None when there is no example in it."""
    if not any(map(any, counts)):
        return None
    totals = [sum(row) for row in counts]
    shares = [[_share(cell, total) for cell in row] for row, total in zip(counts, totals, strict=True)]
    mistakes: list[View] = [
        {"true": names[i], "predicted": names[j], "count": counts[i][j], "share": shares[i][j]}
        for i in range(len(counts))
        for j in range(len(counts))
        if i != j and counts[i][j]
    ]
    mistakes.sort(key=lambda mistake: (-mistake["count"], -mistake["share"]))
    wrong, total = sum(mistake["count"] for mistake in mistakes), sum(totals)
    as_cells = len(counts) <= MATRIX_CLASSES
    return {
        "names": names,
        "rows": [
            {
                "name": names[i],
                "total": totals[i],
                "cells": [_cell(*pair, j == i) for j, pair in enumerate(zip(counts[i], shares[i], strict=True))],
            }
            for i in range(len(counts))
        ]
        if as_cells
        else [],
        "image": "" if as_cells else figures.confusion_heatmap(shares),
        "alt": f"Confusion matrix of {len(counts)} classes: {total - wrong:,} of {total:,} examples are correct.",
        "mistakes": mistakes[:CONFUSIONS_SHOWN],
        "kinds": len(mistakes),
        "wrong": wrong,
        "total": total,
    }


def _cell(count: int, share: float, is_hit: bool) -> View:
    # White numbers where the shade is too dark for black ones; mistakes are shaded more steeply than hits.
    dark = " dark" if share > (0.72 if is_hit else 0.55) else ""
    look = "zero" if not count else f"{'hit' if is_hit else 'miss'}{dark}"
    return {"count": count, "share": share, "look": look}


def _samples(samples: Sequence[Sample]) -> View | None:
    """The most confident mistakes and the most confident hits, with images as data URIs."""
    if not samples:
        return None
    shown: list[View] = [
        {"sample": sample, "image": _image(sample.image), "file": Path(sample.path).name}
        for sample in sorted(samples, key=lambda sample: -sample.probability)
    ]
    mistakes = [row for row in shown if not row["sample"].correct]
    correct = [row for row in shown if row["sample"].correct]
    return {"mistakes": mistakes[:MISTAKES_SHOWN], "correct": correct[:CORRECT_SHOWN], "total": len(shown)}


def _image(path: str | None) -> str:
    """The thumbnail as a data URI; empty when it is gone, or is not a JPEG or PNG."""
    content = Path(path).read_bytes() if path and Path(path).is_file() else b""
    kind = next((kind for start, kind in IMAGE_TYPES.items() if content.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if kind else ""


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
    used = f"{wording.count(ingest.used)} of {wording.count(ingest.files)} {units} were used."
    if ingest.bad_fraction:
        used += f" Bad ones, which data.max_bad_fraction limits, are {wording.percent(ingest.bad_fraction)} of all."
    reasons = Counter(wording.label(file.reason) for file in ingest.skipped).most_common()
    why_skipped = "None was skipped."
    if reasons:
        why_skipped = f"Skipped: {', '.join(f'{amount:,} {reason}' for reason, amount in reasons)}."
    repeated = f"Repeated within a split: {wording.plural(ingest.duplicates.within_split, units[:-1])}."
    crossing = f"Found in more than one split: {wording.plural(len(across), units[:-1])}."
    contradicting = f"Same content under different labels: {wording.plural(len(ingest.conflicts), 'case')}."
    return [used, why_skipped, repeated, crossing, contradicting]


def _seed(config_yaml: str) -> object:
    """`training.seed` of the config, or None."""
    try:
        training = (yaml.safe_load(config_yaml) or {}).get("training") or {}
        return training.get("seed")
    except (yaml.YAMLError, AttributeError):
        return None

"""From the data of a run to the HTML page: what is shown is decided here, the template only lays out."""

from __future__ import annotations

import base64
import functools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report import evaluation, figures, wording

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent
# Up to this many classes a confusion matrix reads well as numbers; beyond, a picture and a list of mistakes do better.
MATRIX_CLASSES = 20
# Of a class name beside the matrix: a longer one would push the numbers off the page.
MATRIX_LETTERS = 24
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
PHASE_KEYS = (
    "name",
    "epochs",
    "seconds",
    "trainable_parameters",
    "total_parameters",
    "val_loss",
    "val_accuracy",
)
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

View = dict[str, Any]


def write_report(data: Mapping[str, Any], path: str) -> None:
    """Writes the report of one run as one HTML file that needs no network and no other file.

    Args:
        data: `title` and `summary` (what `finetune run --summary` writes), and as far as the run came: `curves`,
            `classes`, `confusion` (rows are true classes), `per_class`, `samples` (with `image` as JPEG or PNG bytes),
            `evaluation` (`evaluation.verdict.findings`), `latency_ms` (by model and batch size), `ingest`,
            `config_yaml`, `versions`. A part that is missing is replaced by a sentence that says why.
        path: The file to write. Folders are made; a reader never sees a half-written file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        # File names may hold bytes that are not UTF-8; they show as escapes.
        unfinished.write_text(render(data), encoding="utf-8", errors="backslashreplace")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def render(data: Mapping[str, Any]) -> str:
    """The report as HTML text; see `write_report` for `data`. Everything in `data` is escaped."""
    return _template().render(page(data))


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": wording.number,
        "count": wording.count,
        "short_count": wording.short_count,
        "percent": wording.percent,
        "duration": wording.duration,
        "label": wording.label,
        "plural": wording.plural,
        "shortened": lambda name: name if len(name) <= MATRIX_LETTERS else f"{name[: MATRIX_LETTERS - 1]}…",
    }
    return environment.get_template("template.html.j2")


def page(data: Mapping[str, Any]) -> View:
    """All that the template shows, with nothing missing: absent parts are empty lists or None."""
    summary = data["summary"]
    classes = [str(name) for name in _sequence(data.get("classes"))]
    measured = data.get("evaluation") or {}
    failed = summary.get("status") not in ("pushed", "pending", "refused")
    parts = {
        "gates": evaluation.gates(_sequence(summary.get("gates"))),
        "metrics": evaluation.cards(summary, measured.get("metrics") or {}),
        "training": _training(_sequence(data.get("curves")), _sequence(summary.get("phases"))),
        "confusion": _confusion(_sequence(data.get("confusion")), classes),
        "classes": evaluation.classes(_sequence(data.get("per_class")), _sequence(measured.get("classes"))),
        "calibration": evaluation.calibration(
            measured.get("reliability") or {}, (summary.get("metrics") or {}).get("ece")
        ),
        "slices": evaluation.slices(
            _sequence(measured.get("slices")),
            measured.get("slices_left_out"),
            (summary.get("metrics") or {}).get("accuracy"),
        ),
        "serving": evaluation.serving(summary, data.get("latency_ms") or {}),
        "samples": _samples(_sequence(data.get("samples"))),
        "data": _data(summary, data.get("ingest") or {}, classes),
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
        "title": str(data["title"]),
        "summary": {key: summary.get(key) for key in ("run_id", "error", "pushed_model", "log_file", "output_dir")},
        "seconds": summary.get("seconds"),
        "failed": failed,
        "verdict": wording.verdict(summary),
        "next_steps": wording.next_steps(summary),
        "has_champion": bool(summary.get("champion_metrics")),
        "components": _components(_sequence(summary.get("components"))),
        "backbone": _defaults(summary.get("backbone") or {}, ("name", "source", "sha256")),
        "seed": _seed(data.get("config_yaml")),
        "config_yaml": data.get("config_yaml") or "",
        "versions": dict(data.get("versions") or {}),
    }


def _sequence(value: Iterable[Any] | None) -> list[Any]:
    return [] if value is None else list(value)


def _defaults(found: Mapping[str, Any], keys: Iterable[str]) -> View:
    return {key: found.get(key) for key in keys}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _training(rows: list[Mapping[str, Any]], phases: list[Mapping[str, Any]]) -> View | None:
    curves = _curves(rows)
    if curves is None and not phases:
        return None
    return {"curves": curves, "phases": [_phase(phase) for phase in phases]}


def _phase(phase: Mapping[str, Any]) -> View:
    frozen = phase.get("frozen_features") or {}
    views = {None: "", "fresh": "new pictures in every epoch"}.get(frozen.get("views"))
    up_to = f" (up to {frozen['cut']})" if frozen.get("cut") else ""
    notes = (
        "stopped early" if phase.get("stopped_early") else "",
        f"frozen part computed once{up_to}" if phase.get("cached_trunk") else "",
        f"{frozen['views']} views of each picture" if views is None else views,
    )
    return {**_defaults(phase, PHASE_KEYS), "notes": ", ".join(filter(None, notes))}


def _curves(rows: list[Mapping[str, Any]]) -> View | None:
    """Both forms of the learning curves, and in words what they show."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    if not any(wording.finite(row.get(name)) is not None for row in rows for name in names):
        return None
    phases = list(dict.fromkeys(str(row.get("phase") or "training") for row in rows))
    measured = [row for row in rows if wording.finite(row.get("val_loss")) is not None]
    best = ""
    if measured:
        row = min(measured, key=lambda each: float(each["val_loss"]))
        position = f"epoch {rows.index(row) + 1}" + (f" (in {row['phase']})" if row.get("phase") else "")
        best = f"The lowest validation loss, {wording.number(row['val_loss'])}, is at {position}"
        accuracy = wording.finite(row.get("val_accuracy"))
        best += "." if accuracy is None else f", with validation accuracy {wording.number(accuracy)}."
    span = f"{wording.plural(len(rows), 'epoch')} of {wording.listing(phases)}"
    return {
        "wide": figures.learning_curves(rows),
        "narrow": figures.learning_curves(rows, narrow=True),
        "alt": f"Loss and accuracy of training and validation over {span}. {best}".strip(),
        "best": best,
    }


def _confusion(rows: list[Sequence[int]], classes: list[str]) -> View | None:
    """The matrix as cells or as a picture, and its largest mistakes; None when there is no example in it."""
    counts = [[int(wording.finite(cell) or 0) for cell in row] for row in rows]
    if not any(map(any, counts)):
        return None
    names = [classes[index] if index < len(classes) else f"class {index + 1}" for index in range(len(counts))]
    totals = [sum(row) for row in counts]
    shares = [[_share(cell, total) for cell in row] for row, total in zip(counts, totals, strict=True)]
    mistakes: list[View] = [
        {"true": names[i], "predicted": names[j], "count": counts[i][j], "share": shares[i][j]}
        for i in range(len(counts))
        for j in range(min(len(counts[i]), len(names)))
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


def _samples(samples: list[Mapping[str, Any]]) -> View | None:
    """The most confident mistakes and the most confident hits, with images as data URIs."""
    if not samples:
        return None
    shown = [
        {
            **_defaults(sample, ("path", "label", "predicted", "probability", "correct", "text")),
            "image": _image(sample),
            "file": Path(str(sample.get("path") or "")).name,
        }
        for sample in samples
    ]
    shown.sort(key=lambda sample: -(wording.finite(sample["probability"]) or 0.0))
    mistakes = [sample for sample in shown if not sample["correct"]]
    correct = [sample for sample in shown if sample["correct"]]
    return {"mistakes": mistakes[:MISTAKES_SHOWN], "correct": correct[:CORRECT_SHOWN], "total": len(shown)}


def _image(sample: Mapping[str, Any]) -> str:
    """The thumbnail as a data URI; empty when it is not a JPEG or PNG."""
    content = bytes(sample.get("image") or b"")
    kind = next((kind for start, kind in IMAGE_TYPES.items() if content.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if kind else ""


def _data(summary: Mapping[str, Any], ingest: Mapping[str, Any], classes: list[str]) -> View | None:
    splits, files = _splits(summary, ingest, classes), _files(ingest) if ingest else None
    return {"splits": splits, "files": files} if files or splits["sizes"] else None


def _splits(summary: Mapping[str, Any], ingest: Mapping[str, Any], classes: list[str]) -> View:
    """Examples per split, and per class and split where the ingest report has them."""
    reported = ingest.get("splits") or {}
    sizes = {name: wording.finite((split or {}).get("examples")) or 0 for name, split in reported.items()}
    sizes = sizes or {name: wording.finite(size) or 0 for name, size in (summary.get("splits") or {}).items()}
    by_class = {name: (split or {}).get("classes") or {} for name, split in reported.items()}
    known = dict.fromkeys(str(name) for counts in by_class.values() for name in counts)
    names = [name for name in classes if name in known] + [name for name in known if name not in classes]
    rows: list[View] = [
        {"name": name, "counts": [counts.get(name, 0) for counts in by_class.values()]} for name in names
    ]
    largest = max((sum(row["counts"]) for row in rows), default=0)
    for row in rows:
        row["total"] = sum(row["counts"])
        row["share"] = _share(row["total"], largest)
    total = sum(sizes.values())
    return {
        "sizes": [{"name": name, "size": size, "share": _share(size, total)} for name, size in sizes.items()],
        "total": total,
        "columns": list(by_class),
        "classes": rows,
    }


def _files(ingest: Mapping[str, Any]) -> View:
    """What became of the input files."""
    skipped = [_defaults(file, ("path", "reason", "detail")) for file in _sequence(ingest.get("skipped"))]
    conflicts = [_defaults(conflict, ("sha256", "files")) for conflict in _sequence(ingest.get("conflicts"))]
    duplicates = ingest.get("duplicates") or {}
    across = _sequence(duplicates.get("across_splits"))
    within = int(wording.finite(duplicates.get("within_split")) or 0)
    units = "rows" if ingest.get("unit") == "rows" else "files"
    used = f"{wording.count(ingest.get('used'))} of {wording.count(ingest.get('files'))} {units} were used."
    if ingest.get("bad_fraction"):
        used += f" Bad ones, which data.max_bad_fraction limits, are {wording.percent(ingest['bad_fraction'])} of all."
    reasons = Counter(wording.label(file["reason"] or "unknown reason") for file in skipped).most_common()
    why_skipped = "None was skipped."
    if skipped:
        why_skipped = f"Skipped: {', '.join(f'{amount:,} {reason}' for reason, amount in reasons)}."
    repeated = f"Repeated within a split: {wording.plural(within, units[:-1])}."
    crossing = f"Found in more than one split: {wording.plural(len(across), units[:-1])}."
    contradicting = f"Same content under different labels: {wording.plural(len(conflicts), 'case')}."
    return {
        "units": units,
        "sentences": [used, why_skipped, repeated, crossing, contradicting],
        "skipped": skipped[:FILES_SHOWN],
        "skipped_total": len(skipped),
        "conflicts": conflicts[:FILES_SHOWN],
        "conflicts_total": len(conflicts),
        "across_splits": across[:FILES_SHOWN],
        "across_total": len(across),
    }


def _components(rows: list[Mapping[str, Any]]) -> list[View]:
    shown = [_defaults(row, ("id", "state", "seconds")) for row in rows]
    longest = max((wording.finite(row["seconds"]) or 0.0 for row in shown), default=0.0)
    for row in shown:
        row["share"] = _share(wording.finite(row["seconds"]) or 0.0, longest)
    return shown


def _seed(config_yaml: str | None) -> object:
    """`training.seed` of the config, or None."""
    import yaml

    try:
        training = (yaml.safe_load(config_yaml or "") or {}).get("training") or {}
        return training.get("seed")
    except (yaml.YAMLError, AttributeError):
        return None

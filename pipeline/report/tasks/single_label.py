"""One label an example: which class is taken for which, the classes, and single mistakes."""

from __future__ import annotations

from typing import Any

from finetune.artifacts.report_data import ReportData
from pipeline.report import evaluation, figures
from pipeline.report.tasks.samples import samples
from pipeline.report.tasks.section import Section

View = dict[str, Any]

# Up to this many classes a confusion matrix reads well as numbers; beyond, a picture and a list of mistakes do better.
MATRIX_CLASSES = 20
CONFUSIONS_SHOWN = 10


class SingleLabel:
    """The page has a confusion matrix, a table of the classes, and examples."""

    judged = "example"
    holds = "right"

    @property
    def sections(self) -> dict[str, Section]:
        """Returns them in their order."""
        return {
            "confusion": Section(
                "Confusion",
                "Rows are true classes, columns what the model said.",
                "The evaluator gave no confusion matrix.",
                confusion,
                "tasks/confusion.html.j2",
            ),
            "classes": Section(
                "Classes",
                "Weakest first, by F1. The bands are 95 % intervals.",
                "The evaluator gave no metrics per class.",
                lambda data: evaluation.classes(data.per_class, data.evaluation.classes),
                "tasks/classes.html.j2",
            ),
            "samples": Section(
                "Predictions",
                "Test examples: what the model said, and how sure it was.",
                "No sample predictions were kept.",
                samples,
                "tasks/samples.html.j2",
            ),
        }


def confusion(data: ReportData) -> View | None:
    """The matrix as cells or as a picture, and its largest mistakes; None when there is no example in it."""
    counts, names = data.confusion, data.classes
    if not any(map(any, counts)):
        return None
    totals = [sum(row) for row in counts]
    shares = [[cell / (total or 1) for cell in row] for row, total in zip(counts, totals, strict=True)]
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
        "thresholds": data.thresholds,
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

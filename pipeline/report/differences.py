"""Where candidate and champion differ: how often, in which slices the candidate is worse, and examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from finetune.artifacts.disagreement import Disagreement
from finetune.artifacts.evaluation_results import Difference
from finetune.artifacts.report_data import ReportData
from pipeline.report import formats
from pipeline.report.tasks.samples import previewed

View = dict[str, Any]

SLICES_SHOWN = 15


def differences(data: ReportData) -> View | None:
    """Returns sentences, slices and groups of examples; None where there is no champion to differ from."""
    found = data.disagreement
    if found is None:
        return None
    rows = found.slices[: max(SLICES_SHOWN, sum(part.is_worse for part in found.slices))]
    return {
        "sentences": _sentences(found),
        "rows": [
            {"part": part, "chance": f"{part.chance:.2g}", "state": "failed" if part.is_worse else ""} for part in rows
        ],
        "hidden": len(found.slices) - len(rows),
        "groups": _groups(data.differing),
    }


def _sentences(found: Disagreement) -> list[str]:
    differ = found.better + found.worse
    examples = formats.plural(found.examples, "test example")
    if not differ:
        return [f"Both models are equally right about all {examples}."]
    worse = formats.listing([part.name for part in found.slices if part.is_worse])
    return [
        f"They are not equally right about {differ:,} of {examples}: the candidate is better on {found.better:,}, the "
        f"champion on {found.worse:,}.",
        f"The candidate is worse in: {worse}." if worse else "In no slice is the candidate worse beyond noise.",
    ]


def _groups(examples: Iterable[Difference]) -> list[View]:
    by_title: dict[str, list[View]] = {}
    for example in examples:
        title = f"Worse in: {example.slice}"
        if not example.slice:
            title = "The candidate is better" if example.better else "The champion is better"
        by_title.setdefault(title, []).append({"sample": example, **previewed(example)})
    return [{"title": title, "shown": shown} for title, shown in by_title.items()]

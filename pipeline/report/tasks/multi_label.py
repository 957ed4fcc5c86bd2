"""Any number of labels an example: each label for itself, which is said for which, and single mistakes."""

from __future__ import annotations

from typing import Any

from finetune.artifacts.evaluation_results import Sample
from finetune.artifacts.report_data import ReportData
from pipeline.report import evaluation, evaluation_figures, formats
from pipeline.report.tasks.samples import samples
from pipeline.report.tasks.section import Section

View = dict[str, Any]

# Bars of more labels would be a page of their own: the weakest are drawn, and the table has all.
BARS_SHOWN = 40
CONFUSED_SHOWN = 10
# Of one label, the mean over labels is its only value.
HEADINGS = {"mean_average_precision": "average precision"}


class MultiLabel:
    """The page has a figure and a table of the labels, those that are confused with each other, and examples."""

    judged = "label"
    holds = "there"

    @property
    def sections(self) -> dict[str, Section]:
        """Returns them in their order."""
        return {
            "labels": Section(
                "Labels",
                "Weakest first, by F1, with 95 % intervals. A label is said where its probability reaches its "
                "threshold, which was chosen on the validation split.",
                "The evaluator gave no metrics per label.",
                labels,
                "tasks/labels.html.j2",
            ),
            "confused": Section(
                "Confused",
                "Labels that were missed, and what was wrongly said of the same examples.",
                "No label was missed where another one was wrongly said.",
                confused,
                "tasks/confused.html.j2",
            ),
            "samples": Section(
                "Predictions",
                "Test examples: what the model said, and how sure it was of each label at least.",
                "No sample predictions were kept.",
                labelled_samples,
                "tasks/labelled_samples.html.j2",
            ),
        }


def labels(data: ReportData) -> View | None:
    """The labels from the lowest F1 upwards, as a figure and as rows."""
    rows = evaluation.classes(data.per_class, data.evaluation.classes)
    if not rows:
        return None
    found = {one.name: one.metrics.get("f1") for one in data.evaluation.classes}
    bars = [
        (row["name"], row["cells"]["f1"]["value"], measured.interval if (measured := found.get(row["name"])) else None)
        for row in rows[:BARS_SHOWN]
    ]
    first = rows[0]
    return {
        "image": evaluation_figures.label_bars(bars),
        "alt": f"Bars of the F1 of {formats.plural(len(bars), 'label')}, from {first['name']} with "
        f"{formats.number(first['cells']['f1']['value'])} upwards.",
        "hidden": len(rows) - len(bars),
        "headings": [_heading(name) for name in first["cells"]],
        "rows": [{**row, "threshold": data.thresholds.get(row["name"])} for row in rows],
        "has_thresholds": bool(data.thresholds),
    }


def _heading(metric: str) -> str:
    words = HEADINGS.get(metric, formats.label(metric))
    return words[0].upper() + words[1:]


def confused(data: ReportData) -> View | None:
    """The pairs of a missed label and one that was wrongly said instead, the most frequent first."""
    pairs: list[View] = []
    for scores, counts in zip(data.per_class, data.confusion, strict=False):
        by_name = dict(zip(data.classes, counts, strict=False))
        missed = scores.support - by_name.pop(scores.name, 0)
        pairs += [
            {"missed": scores.name, "said": name, "count": count, "share": count / missed, "total": missed}
            for name, count in by_name.items()
            if count
        ]
    pairs.sort(key=lambda pair: (-pair["count"], -pair["share"]))
    return {"pairs": pairs[:CONFUSED_SHOWN], "kinds": len(pairs)} if pairs else None


def labelled_samples(data: ReportData) -> View | None:
    """Examples, with each label marked as right, missed or wrong."""
    found = samples(data)
    if found is None:
        return None
    marked = {
        kind: [{**row, "labels": _marked(row["sample"])} for row in found[kind]] for kind in ("mistakes", "correct")
    }
    return {**found, **marked}


def _marked(sample: Sample) -> list[View]:
    true = [{"name": name, "mark": "right" if name in sample.said else "missed"} for name in sample.labels]
    return true + [{"name": name, "mark": "wrong"} for name in sample.said if name not in sample.labels]

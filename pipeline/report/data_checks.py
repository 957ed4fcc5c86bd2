"""The report's section on the data: what each check found, and the suspects themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.artifacts.data_findings import DataFinding, DataFindings, ShownSuspect
from finetune.artifacts.embedding_map import EmbeddingMap
from pipeline.report.embedding_map import map_figures
from pipeline.report.tasks.samples import previewed


def checks(found: DataFindings | None) -> dict[str, Any] | None:
    """Returns what is shown: findings first, then what was in order, then what could not be judged."""
    if found is None or not found.findings:
        return None
    ordered = sorted(found.findings, key=lambda finding: (not finding.found, finding.value is None))
    return {
        "rows": [_row(finding) for finding in ordered],
        "suspects": [
            {
                "finding": finding,
                "shown": [_suspect(each) for each in found.suspects[finding.check]],
                "sounds": any(example.sound for each in found.suspects[finding.check] for example in each.examples),
                "texts": any(example.text for each in found.suspects[finding.check] for example in each.examples),
            }
            for finding in ordered
            if found.suspects.get(finding.check)
        ],
        "dropped": found.dropped,
        "files": found.files,
        "map": {"figures": map_figures(found.map), "caption": _caption(found.map)} if found.map else None,
    }


def _caption(found: EmbeddingMap) -> str:
    drawn = (
        f"{len(found.points):,} of {found.examples:,} examples" if len(found.points) < found.examples else "Examples"
    )
    return (
        f"{drawn} as the frozen backbone sees them, in two dimensions (t-SNE): near ones look alike to it; distances "
        "between groups and their sizes mean nothing. A held-out answer is that of logistic regression on the other "
        "examples; those of test are not judged."
    )


def _row(finding: DataFinding) -> dict[str, Any]:
    measured = (finding.measures, finding.worst if finding.found else "")
    return {
        "finding": finding,
        "state": "found" if finding.found else "not judged" if finding.value is None else "in order",
        "value": "n/a" if finding.value is None else finding.written(finding.value),
        "bound": finding.written(finding.bound),
        "reason": finding.why_not or "; ".join(filter(None, measured)),
    }


def _suspect(suspect: ShownSuspect) -> dict[str, Any]:
    examples = [{"example": each, **previewed(each), "file": Path(each.path).name} for each in suspect.examples]
    return {"suspect": suspect, "examples": examples}

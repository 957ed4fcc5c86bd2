"""Any number of labels an example, none included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.example_gen.files import FileProblem, check_label
from components.example_gen.splits import SplitPlan
from components.example_gen.stratification import stratify

SEPARATOR = "|"


class MultiLabel:
    """Labels are joined in the cell, and rare ones are kept in every split."""

    one_label = False
    has_boxes = False
    has_masks = False
    examined_as = "multi_label"

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """A line break ends a row, and cannot stand within a cell of every kind of table."""
        separator = data.get("label_separator")
        if isinstance(separator, str) and ("\n" in separator or "\r" in separator):
            return [f"data.label_separator: got {separator!r}; expected no line break, such as {SEPARATOR!r}"]
        return []

    def labels_of(self, cell: str, separator: str | None) -> tuple[str, ...]:
        """Splits `a|b`, or reads `["a", "b"]` as JSON has it; an empty cell has no label."""
        if not cell:
            return ()
        names = _json_names(cell)
        if names is None:
            names = [name.strip() for name in cell.split(separator or SEPARATOR)]
        for name in names:
            check_label(name)
        return tuple(sorted(set(names)))

    def cut(self, plan: SplitPlan, labels: Mapping[str, tuple[str, ...]], settled: Mapping[str, str]) -> dict[str, str]:
        """Cuts by content where there is enough of everything, and stratifies what is rare."""
        by_content = {sha256: plan.cut_by_content(sha256) for sha256 in labels}
        known = {sha256: settled[sha256] for sha256 in labels if sha256 in settled}
        return by_content | stratify(labels, plan.fractions, by_content, plan.position, known) | known


def _json_names(cell: str) -> list[str] | None:
    """Returns the names in a JSON list; None for a cell that is none.

    Raises:
        FileProblem: There is something else than names in the list.
    """
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        names = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(name, str) for name in names):
        raise FileProblem("bad label", f"got {cell!r}; expected a list of names")
    return [name.strip() for name in names]

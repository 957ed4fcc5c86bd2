"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.example_gen.files import check_label
from components.example_gen.splits import SplitPlan


class SingleLabel:
    """The whole cell is the label, and splits are cut by content alone."""

    one_label = True
    has_boxes = False
    has_masks = False
    examined_as = "single_label"

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """A separator would never be looked for."""
        separator = data.get("label_separator")
        if separator is None:
            return []
        return [
            f"data.label_separator: got {separator!r}; single_label takes the whole cell as one label. Leave it out, "
            "or set task to multi_label"
        ]

    def labels_of(self, cell: str, separator: str | None) -> tuple[str, ...]:
        """Returns the one label."""
        check_label(cell)
        return (cell,)

    def cut(self, plan: SplitPlan, labels: Mapping[str, tuple[str, ...]], settled: Mapping[str, str]) -> dict[str, str]:
        """Cuts by content, so that data which are added move nothing."""
        return {sha256: settled.get(sha256) or plan.cut_by_content(sha256) for sha256 in labels}

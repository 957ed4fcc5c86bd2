"""What a task asks of the ingest: how a cell of a table becomes labels, and how examples are cut into splits.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from components.example_gen.files import FileProblem
from components.example_gen.settings import IngestSettings
from components.example_gen.splits import SplitPlan
from components.example_gen.tasks.detection import Detection
from components.example_gen.tasks.multi_label import MultiLabel
from components.example_gen.tasks.segmentation import Segmentation
from components.example_gen.tasks.single_label import SingleLabel


class IngestTask(Protocol):
    """What the ingest asks of a task.

    Attributes:
        one_label: Whether every example has exactly one label.
        has_boxes: Whether the data must say where in a picture its objects are.
        has_masks: Whether each picture must have a mask, which says its labels.
        examined_as: The task whose questions the data gate asks of examples: one of labels.
    """

    one_label: bool
    has_boxes: bool
    has_masks: bool
    examined_as: str

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """Says what in a raw section `data` does not go with the task, each with its key."""

    def labels_of(self, cell: str, separator: str | None) -> tuple[str, ...]:
        """Reads the cell of a label column, or the name of a class folder.

        Args:
            cell: Without blanks around it.
            separator: `data.label_separator`.

        Returns:
            Names in one order, each once: cells that mean the same give the same labels.

        Raises:
            FileProblem: The cell names no labels, or one that a vocabulary cannot hold.
        """

    def cut(self, plan: SplitPlan, labels: Mapping[str, tuple[str, ...]], settled: Mapping[str, str]) -> dict[str, str]:
        """Divides contents between the splits that `plan` cuts by fraction, and train.

        Args:
            plan: Says the fractions and the salt.
            labels: Hex SHA-256 of each content, and its labels.
            settled: Split of those that have one since an earlier span.

        Returns:
            Split of each content, that of a settled one included: a function of the three alone, whatever order the
            contents come in.
        """


TASKS: dict[str, IngestTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}


def read_labels(cell: str, settings: IngestSettings) -> tuple[tuple[str, ...], FileProblem | None]:
    """Returns the labels in a cell; none of them, and why, where they cannot be read."""
    try:
        return TASKS[settings.task].labels_of(cell, settings.label_separator), None
    except FileProblem as problem:
        return (), problem

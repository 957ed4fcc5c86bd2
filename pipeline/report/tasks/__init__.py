"""What a task asks of the report: the sections that show how well a model of the task does, and where it errs.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from finetune.errors import RunError, did_you_mean
from pipeline.report.tasks.detection import Detection
from pipeline.report.tasks.multi_label import MultiLabel
from pipeline.report.tasks.section import Section
from pipeline.report.tasks.segmentation import Segmentation
from pipeline.report.tasks.single_label import SingleLabel


class ReportTask(Protocol):
    """What the report asks of a task.

    Attributes:
        judged: What one probability of a model is about: `example`, `label` of an example, or `class of a picture`.
        holds: What that is when the model was justly sure: `right`, or `there`.
        sections: Of the page, by the id that links lead to, in the order in which they are shown.
    """

    judged: str
    holds: str

    @property
    def sections(self) -> Mapping[str, Section]: ...


TASKS: dict[str, ReportTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}


def report_task(task: str) -> ReportTask:
    """Returns what the report knows of a task.

    Raises:
        RunError: There is no such task here.
    """
    if task not in TASKS:
        known = sorted(TASKS)
        raise RunError(
            f"task: got {task!r} in the data of a report; expected one of {', '.join(known)}."
            f"{did_you_mean(task, known)} Make the report with the version that made the run."
        )
    return TASKS[task]

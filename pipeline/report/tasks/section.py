"""A section of the page that belongs to a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetune.artifacts.report_data import ReportData


@dataclass(frozen=True)
class Section:
    """A section says what is shown of a run, and how.

    Attributes:
        title: Its heading.
        hint: How to read it, in a sentence or two beside it.
        absent: A sentence that stands there when there is nothing to show.
        view: Takes from a report's data what the template shows; something empty where there is nothing.
        template: Path of the Jinja template within `pipeline/report`, which finds that as `view`.
    """

    title: str
    hint: str
    absent: str
    view: Callable[[ReportData], Any]
    template: str

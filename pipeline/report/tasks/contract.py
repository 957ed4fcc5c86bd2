"""The contract of `ReportTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

from finetune.artifacts.report_data import ReportData
from pipeline.report import page
from pipeline.report.tasks import ReportTask

# Ids and names that the page has for what is the same for all tasks.
TAKEN = {*page.FIRST_SECTIONS, *page.LAST_SECTIONS}


def check_task(name: str, task: ReportTask, data: ReportData) -> None:
    """Holds a task against what the page relies on.

    Args:
        name: Of the task, in the table.
        task: What the report knows of it.
        data: Of a run of the task that went all the way.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    assert data.task == name, f"{name}: got data of a run of the task {data.task!r}"
    assert task.sections, f"{name}: expected at least one section"
    for section_id, section in task.sections.items():
        assert section_id not in TAKEN, f"{name}: {section_id} is a section of every task already"
        assert section_id.isidentifier(), f"{name}: got the id {section_id!r}; expected letters, digits and underscores"
        for part in ("title", "hint", "absent"):
            assert getattr(section, part), f"{name}: section {section_id} lacks its {part}"
        assert section.view(data), f"{name}: section {section_id} shows nothing of a whole run"
    nothing = ReportData(title=data.title, task=name, summary=data.summary)
    whole, empty = page.render(data), page.render(nothing)
    for section_id, section in task.sections.items():
        assert not section.view(nothing), f"{name}: section {section_id} shows something where nothing was measured"
        for html in (whole, empty):
            assert f'<section id="{section_id}">' in html, f"{name}: the page lacks section {section_id}"
        assert section.absent in empty, f"{name}: section {section_id} does not say that there is nothing to show"
        assert section.absent not in whole, f"{name}: section {section_id} says of a whole run that it lacks something"

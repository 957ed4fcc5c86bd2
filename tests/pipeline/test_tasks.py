"""Every part of the pipeline knows every task."""

from __future__ import annotations

from pipeline.tasks import TASK_TABLES, task_fits, task_problems


def test_no_part_lacks_a_task():
    for name in set().union(*TASK_TABLES.values()):
        assert task_problems(name, TASK_TABLES) == []


def test_a_task_that_nobody_knows():
    (problem,) = task_fits({"task": "multi_lable"})
    assert problem == (
        "task: got 'multi_lable'; expected one of multi_label, single_label. Did you mean 'multi_label'?"
    )


def test_a_task_that_one_part_lacks():
    tables = {"one.tasks": ["here", "there"], "two.tasks": ["here"]}
    assert task_problems("there", tables) == ["task: got 'there', which two.tasks lacks; expected an entry beside here"]


def test_the_data_section_must_go_with_the_task():
    (problem,) = task_fits({"data": {"label_separator": "|"}})
    assert problem.startswith("data.label_separator: got '|'; single_label")
    assert task_fits({"task": "multi_label", "data": {"label_separator": ";"}}) == []

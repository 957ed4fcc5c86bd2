"""Every part of the pipeline knows every task."""

from __future__ import annotations

import json

import pytest

from finetune.config import Config
from finetune.errors import RunError
from pipeline.tasks import TASK_TABLES, check_champion, task_fits, task_problems
from registry.versions import FACTS_FILE


def test_no_part_lacks_a_task():
    for name in set().union(*TASK_TABLES.values()):
        assert task_problems(name, TASK_TABLES) == []


def test_a_task_that_nobody_knows():
    (problem,) = task_fits({"task": "multi_lable"})
    assert problem == (
        "task: got 'multi_lable'; expected one of detection, multi_label, single_label. Did you mean 'multi_label'?"
    )


def test_a_task_that_one_part_lacks():
    tables = {"one.tasks": ["here", "there"], "two.tasks": ["here"]}
    assert task_problems("there", tables) == ["task: got 'there', which two.tasks lacks; expected an entry beside here"]


def test_the_data_section_must_go_with_the_task():
    (problem,) = task_fits({"data": {"label_separator": "|"}})
    assert problem.startswith("data.label_separator: got '|'; single_label")
    assert task_fits({"task": "multi_label", "data": {"label_separator": ";"}}) == []


def test_a_champion_of_another_task_is_refused(tmp_path):
    config = Config.model_validate(
        {
            "name": "moods",
            "task": "multi_label",
            "output_dir": str(tmp_path),
            "data": {"root": "moods.csv"},
            "backbone": {"name": "GloVe", "weights": "words.txt"},
        }
    )
    check_champion(config)
    facts = tmp_path / "pushed" / "3" / FACTS_FILE
    facts.parent.mkdir(parents=True)
    facts.write_text(json.dumps({"task": "multi_label"}))
    check_champion(config)
    facts.write_text(json.dumps({"backbone": {}}))
    with pytest.raises(RunError, match=r"task: got 'multi_label', and '.*/pushed/3', .* is of task 'single_label'"):
        check_champion(config)

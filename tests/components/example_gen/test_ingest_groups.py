"""Groups of examples, such as those of one patient: they stay together, and a group in two splits stops the run."""

from __future__ import annotations

import hashlib

import pytest

from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing
from components.example_gen.passes import make_example
from components.example_gen.selection import ENOUGH_GROUPS, select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.splits import SplitPlan
from components.example_gen.tables import read_tables
from components.example_gen.tasks import TASKS

CUT = SplitPlan({}, {"val": 0.2, "test": 0.2})
GIVEN = SplitPlan({"train": "train", "test": "test"}, {"val": 0.3})


def record(number: int, group: str | None, folder: str | None = None) -> FileRecord:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return FileRecord(f"{number}.png", ("cat", "dog")[number % 2 : number % 2 + 1], folder, group=group, sha256=digest)


def select(records: list[FileRecord], plan: SplitPlan = CUT, task: str = "single_label"):
    listing = Listing("manifest", records, ["cat", "dog"], plan, [])
    return select_examples(listing, records, 0.0, TASKS[task])


def splits_of(selection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for split, records in selection.examples.items():
        for each in records:
            found.setdefault(each.group or each.path, set()).add(split)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_all_of_a_group_are_in_one_split_and_more_data_move_none(task):
    records = [record(number, f"patient {number % 40}") for number in range(400)]
    selection = select(records, task=task)
    assert selection.problems == []
    splits = splits_of(selection)
    assert len(splits) == 40
    assert all(len(each) == 1 for each in splits.values())
    assert {split: counts.groups for split, counts in selection.report.splits.items()} == {
        split: sum(each == {split} for each in splits.values()) for split in ("train", "val", "test")
    }
    if task == "single_label":
        more = splits_of(select([*records, *(record(number, f"new {number}") for number in range(400, 500))]))
        assert {group: more[group] for group in splits} == splits


def test_without_groups_the_same_examples_are_cut_one_by_one():
    splits = splits_of(select([record(number, None) for number in range(400)]))
    assert len(splits) == 400
    assert select([record(number, None) for number in range(400)]).report.splits["test"].groups is None


@pytest.mark.parametrize("salt", [str(salt) for salt in range(20)])
def test_no_split_is_empty_while_there_are_groups_enough(salt):
    plan = SplitPlan({}, {"val": 0.01, "test": 0.01}, salt)
    selection = select([record(number, f"patient {number // 2 % 3}") for number in range(30)], plan)
    assert selection.problems == []
    assert {split: counts.groups for split, counts in selection.report.splits.items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }
    too_few = select([record(number, f"patient {number // 2 % 2}") for number in range(30)], plan)
    assert any("has no example" in problem for problem in too_few.problems)


def test_a_group_in_two_given_splits_stops_the_run_and_is_named():
    records = [
        *(record(number, "left", "train") for number in range(20)),
        *(record(number, f"other {number}", "train") for number in range(20, 40)),
        *(record(number, "right", "test") for number in range(40, 60)),
    ]
    assert select(records, GIVEN).problems == []
    (problem,) = select([*records, *(record(number, "right", "train") for number in range(60, 63))], GIVEN).problems
    assert "group 'right' has 3 files in" in problem
    assert "20 files in test" in problem
    assert "Move it there" in problem


def test_what_is_of_no_known_group_is_one_by_itself():
    records = [record(number, "") for number in range(100)]
    selection = select([*records, *(record(number, "", "train") for number in range(100, 120))])
    assert len(splits_of(selection)) == 120
    assert selection.report.splits["test"].groups == selection.report.splits["test"].examples
    written = make_example(records[0], b"bytes", "image")
    assert written.count(records[0].sha256.encode()) == 2, "its digest stands for the group"


def test_few_groups_in_test_are_told():
    few = select([record(number, f"patient {number // 2 % 10}") for number in range(100)])
    (warning,) = few.warnings
    assert f"fewer than {ENOUGH_GROUPS}" in warning
    assert select([record(number, f"patient {number // 2 % 300}") for number in range(600)]).warnings == []


def test_tables_have_groups_too(tmp_path):
    rows = "".join(f"text {number},{'ab'[number % 2]},speaker {number % 3}\n" for number in range(6))
    (tmp_path / "texts.csv").write_text(f"text,label,who\n{rows}", encoding="utf-8")
    tables = read_tables(str(tmp_path), IngestSettings(layout="table", group_column="who"))
    assert {each.group for each in tables.listing.files} == {"speaker 0", "speaker 1", "speaker 2"}

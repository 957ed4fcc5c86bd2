"""What each task makes of cells, and how it cuts splits."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from components.example_gen.files import FileProblem
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.splits import SplitPlan
from components.example_gen.stratification import ENOUGH, stratify
from components.example_gen.tables import read_tables
from components.example_gen.tasks import TASKS
from components.example_gen.tasks.contract import check_task

MULTI = TASKS["multi_label"]
PLAN = SplitPlan({}, {"val": 0.15, "test": 0.15})


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def data_with(counts: dict[str, int], examples: int, seed: int = 0) -> dict[str, tuple[str, ...]]:
    """Contents of which so many, at random, have each label."""
    random = np.random.default_rng(seed)
    labels: dict[int, set[str]] = {number: set() for number in range(examples)}
    for name, count in counts.items():
        for number in random.choice(examples, count, replace=False):
            labels[int(number)].add(name)
    return {sha(number): tuple(sorted(names)) for number, names in labels.items()}


def per_split(cut: dict[str, str], labels: dict[str, tuple[str, ...]], name: str, present: bool = True) -> Counter:
    return Counter(cut[content] for content, names in labels.items() if (name in names) is present)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    check_task(TASKS[name])


@pytest.mark.parametrize(
    ("key", "why"),
    [("corrections", "it corrects labels, and not boxes"), ("serving_log", "what was served has no boxes")],
)
def test_tables_of_labels_are_refused_beside_boxes(key, why):
    (found,) = TASKS["detection"].problems({"manifest": "coco.json", key: "table.csv"})
    assert found.startswith(f"data.{key}: got 'table.csv'; {why}")


def test_the_contract_refuses_a_task_that_shuffles():
    class Shuffling(type(TASKS["single_label"])):
        def cut(self, plan, labels, settled):
            return {content: ("train", "val", "test")[place % 3] for place, content in enumerate(labels)}

    with pytest.raises(AssertionError, match="order in which contents come"):
        check_task(Shuffling())


@pytest.mark.parametrize(
    ("cell", "separator", "labels"),
    [
        ("joy", None, ("joy",)),
        ("joy|anger", None, ("anger", "joy")),
        (" joy |anger|joy", None, ("anger", "joy")),
        ("joy, anger", ",", ("anger", "joy")),
        ("joy|anger", ";", ("joy|anger",)),
        ('["joy", "an|ger"]', None, ("an|ger", "joy")),
        ("[]", None, ()),
        ("", None, ()),
        ("[not json]", None, ("[not json]",)),
    ],
)
def test_cells_of_several_labels(cell, separator, labels):
    assert MULTI.labels_of(cell, separator) == labels


@pytest.mark.parametrize("cell", ["joy||anger", "joy|", "|", "[1, 2]", '["a\\nb"]', '["a", ""]'])
def test_cells_that_name_no_labels(cell):
    with pytest.raises(FileProblem):
        MULTI.labels_of(cell, None)


def test_separators_that_do_not_go_with_the_task():
    (problem,) = TASKS["single_label"].problems({"label_separator": "|"})
    assert problem.startswith("data.label_separator: got '|'; single_label takes the whole cell")
    (problem,) = MULTI.problems({"label_separator": "\n"})
    assert "expected no line break" in problem
    assert MULTI.problems({"label_separator": ";"}) == []


@pytest.mark.parametrize("count", [3, 4, 7, 20, 60])
@pytest.mark.parametrize("seed", range(5))
def test_a_rare_label_is_in_every_split_in_its_share(count, seed):
    labels = data_with({"common": 700, "rare": count, "other": 40}, 1000, seed)
    found = per_split(MULTI.cut(PLAN, labels, {}), labels, "rare")
    assert min(found["val"], found["test"]) >= max(1, int(count * 0.15))
    assert max(found["val"], found["test"]) <= int(count * 0.15) + 2


def test_the_cut_by_content_would_have_lost_it():
    """Otherwise the test above would say nothing."""
    lost = 0
    for seed in range(20):
        labels = data_with({"common": 700, "rare": 4}, 1000, seed)
        by_content = {content: PLAN.cut_by_content(content) for content in labels}
        lost += len(per_split(by_content, labels, "rare")) < 3
    assert lost > 5


def test_a_label_that_few_lack_is_as_rare():
    labels = data_with({"nearly always": 996, "half": 500}, 1000)
    found = per_split(MULTI.cut(PLAN, labels, {}), labels, "nearly always", present=False)
    assert set(found) == {"train", "val", "test"}


def test_what_is_not_rare_stays_where_its_content_puts_it():
    labels = data_with({"one": 500, "two": 300, "rare": 5}, 1000)
    cut = MULTI.cut(PLAN, labels, {})
    for content, names in labels.items():
        if "rare" not in names:
            assert cut[content] == PLAN.cut_by_content(content)


def test_shares_hold_over_all():
    labels = data_with({f"label {number}": 3 * number for number in range(1, 29)}, 1000)
    sizes = Counter(MULTI.cut(PLAN, labels, {}).values())
    assert sizes["val"] == pytest.approx(150, abs=15)
    assert sizes["test"] == pytest.approx(150, abs=15)


def test_of_two_examples_one_is_trained_on():
    labels = data_with({"common": 50, "twice": 2, "once": 1}, 100)
    cut = MULTI.cut(PLAN, labels, {})
    assert per_split(cut, labels, "once") == {"train": 1}
    assert per_split(cut, labels, "twice")["train"] == 1


def test_enough_is_enough_for_the_cut_by_content():
    """Of ENOUGH expected in the smallest split, a cut by content loses none in any of many tries."""
    count = int(ENOUGH / 0.15) + 1
    labels = data_with({"label": count}, 1000)
    by_content = {content: PLAN.cut_by_content(content) for content in labels}
    assert stratify(labels, PLAN.fractions, by_content, PLAN.position, {}) == {}
    for seed in range(50):
        found = Counter(PLAN.cut_by_content(sha((seed, number))) for number in range(count))
        assert min(found["val"], found["test"]) >= 5


def select(tree, rows: list[str], **settings):
    root = tree({"x.csv": ("text,labels\n" + "\n".join(rows) + "\n").encode()})
    settings = IngestSettings(task="multi_label", label_column="labels", **settings)
    tables = read_tables(root, settings)
    return tables, select_examples(tables.listing, tables.listing.files, 1.0, MULTI)


def test_texts_with_several_labels(tree):
    rows = [f"text {number},{'a|b' if number % 3 else 'b'}" for number in range(60)]
    rows += [f"silent {number}," for number in range(9)]
    tables, selection = select(tree, rows)
    assert selection.problems == []
    assert tables.listing.classes == ["a", "b"]
    splits = selection.report.splits.values()
    assert sum(split.examples for split in splits) == selection.report.used == 69
    assert sum(split.classes["a"] for split in splits) == 40
    assert sum(split.classes["b"] for split in splits) == 60
    assert sum(split.unlabelled for split in splits) == 9
    assert {record.labels for files in selection.examples.values() for record in files} == {("a", "b"), ("b",), ()}


def test_the_same_text_with_other_labels_is_a_conflict_and_in_another_order_is_not(tree):
    rows = [f"text {number},{'a|b' if number % 2 else 'b'}" for number in range(40)]
    _, selection = select(tree, [*rows, "twice,a|b", "twice,a", "again,a|b", "again,b|a"])
    assert {skip.detail for skip in selection.report.skipped} == {"the same bytes are labelled 'a' and 'a, b'"}
    assert len(selection.report.skipped) == 2
    again = [split for split, files in selection.examples.items() for file in files if file.sha256 == sha("again")]
    assert len(again) == 2
    assert len(set(again)) == 1


def test_a_label_that_is_too_rare_for_every_split_is_said(tree):
    rows = [f"text {number},{'a' if number % 2 else 'b'}" for number in range(60)]
    _, selection = select(tree, [*rows, "one,a|rare", "two,b|rare"])
    assert selection.problems == []
    (warning,) = selection.warnings
    assert warning.startswith("data.splits: class 'rare' has 2 rows, none of them in ")


def test_a_folder_of_tables_called_train_val_and_test_is_splits(tree):
    files = {f"{split}.csv": f"text,labels\n{split} one,a|b\n{split} two,b\n".encode() for split in PLAN.fractions}
    root = tree(files)
    settings = IngestSettings(task="multi_label", label_column="labels")
    tables = read_tables(root, settings)
    selection = select_examples(tables.listing, tables.listing.files, 0.0, MULTI)
    assert selection.problems == []
    for split, records in selection.examples.items():
        assert sorted(record.path for record in records) == [f"{split}.csv:2", f"{split}.csv:3"]

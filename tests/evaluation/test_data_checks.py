"""The table of the data's checks: what a config chooses of it, and how findings are held against bounds."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest

from evaluation import data_checks
from evaluation.data_checks import CHECKS, Examples, Found, Suspect, label_errors
from evaluation.data_checks.chosen import chosen_checks, data_checks_exist
from evaluation.data_checks.judgement import emptied, judge, refusal
from finetune.config import DataConfig

CLASSES = ("a", "b", "c")


def examples(count: int = 300, wrong: int = 0, seed: int = 1, several: bool = False) -> Examples:
    """Clusters of features; the first `wrong` examples of train have the label of the next class."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % len(CLASSES)
    given = truth.copy()
    given[:wrong] = (given[:wrong] + 1) % len(CLASSES)
    features = 4 * np.eye(8)[truth] + random.normal(0, 1, (count, 8))
    scores = features[:, :3] * 1.5
    held_out = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    if several:
        held_out = 1 / (1 + np.exp(6 - 3 * features[:, :3]))
    splits = np.repeat(["train", "val", "test"], [count - count // 3, count // 6, count // 3 - count // 6])
    held_out[splits == "test"] = np.nan
    return Examples(
        paths=[f"{name}/{row}.jpg" for row, name in enumerate(np.array(CLASSES)[given])],
        splits=splits,
        classes=CLASSES,
        labels=np.eye(3, dtype=bool)[given],
        one_label=not several,
        features=features.astype(np.float32),
        held_out=held_out.astype(np.float32),
    )


def checks(**configured: object) -> dict[str, tuple[str, float]]:
    """What a config with these `data.checks` makes."""
    return chosen_checks(DataConfig.model_validate({"root": "x", "checks": configured}).checks)


def test_a_config_says_action_and_bound_and_what_it_leaves_out_is_the_default():
    assert set(checks()) == {name for name, check in CHECKS.items() if check.action != "off"}
    assert "label_errors" not in checks(label_errors=False)
    assert "label_errors" not in checks(label_errors="off")
    assert checks(label_errors="stop")["label_errors"] == ("stop", CHECKS["label_errors"].bound)
    assert checks(label_errors={"bound": 0.2})["label_errors"] == ("warn", 0.2)


@pytest.mark.parametrize("value", ["fix", {"action": "warn", "limit": 1}, {"bound": -1}, True])
def test_what_no_check_can_do_is_refused(value):
    with pytest.raises(ValueError, match=r"checks\.label_errors"):
        checks(label_errors=value)


def test_a_check_that_is_not_there_is_named_with_the_one_that_was_meant(monkeypatch):
    (problem,) = data_checks_exist({"data": {"checks": {"label_error": "warn"}}})
    assert problem.startswith("data.checks.label_error: no such check")
    assert "Did you mean 'label_errors'?" in problem
    monkeypatch.setitem(CHECKS, "label_errors", dataclasses.replace(CHECKS["label_errors"], drops=False))
    for value in ("drop", {"action": "drop"}):
        (problem,) = data_checks_exist({"data": {"checks": {"label_errors": value}}})
        assert "expected off, warn or stop" in problem.lower()
    assert data_checks_exist({"data": {"checks": {"label_errors": "stop"}}}) == []


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_flipped_labels_come_first_and_are_counted(several):
    found = CHECKS["label_errors"].find(examples(wrong=20, several=several))
    rows = list(csv.DictReader(io.StringIO(found.files["label_errors.csv"])))
    assert list(rows[0]) == ["path", "label", "suggested", "score"]
    assert len(rows) == 250, "every example of train and val, and none of test"
    first = {int(row["path"].split("/")[1][:-4]) for row in rows[:20]}
    assert len(first & set(range(20))) >= 18
    assert [float(row["score"]) for row in rows] == sorted(float(row["score"]) for row in rows)
    right = [row for row in rows if int(row["path"].split("/")[1][:-4]) < 20]
    assert np.mean([row["suggested"] == CLASSES[(CLASSES.index(row["label"]) - 1) % 3] for row in right]) >= 0.9
    assert found.value == pytest.approx(20 / 250, abs=0.03)
    assert found.suspects[0].suggested


def test_texts_of_a_group_say_nothing_of_each_other():
    """Each author has words and a label of their own."""
    random = np.random.default_rng(1)
    authors = np.repeat(np.arange(30), 8)
    words = np.array([f"word{number}x" for number in range(300)])
    texts = [" ".join(random.choice(words[10 * author : 10 * author + 10], 8)) for author in authors]
    labels = np.eye(2, dtype=bool)[random.integers(0, 2, 30)[authors]]
    otherwise = np.full(labels.shape, 0.5)

    def known(groups: np.ndarray | None) -> float:
        found = label_errors._by_letters(texts, labels, otherwise, groups)
        return float(np.mean(found.argmax(axis=1) == labels.argmax(axis=1)))

    assert known(None) > 0.9
    assert known(authors.astype(str)) < 0.75
    assert known(np.array(["one"] * len(texts))) == known(None)


def test_only_a_value_above_the_bound_is_a_finding_and_only_train_and_val_are_dropped(monkeypatch):
    given = examples()
    rows = np.array([3, 250, 299])
    check = dataclasses.replace(
        CHECKS["label_errors"], find=lambda each: Found(0.1, [Suspect((3,), "why")], drop=rows), bound=0.05
    )
    monkeypatch.setitem(data_checks.CHECKS, "label_errors", check)
    judged = judge(given, {"label_errors": ("drop", 0.05)})
    assert judged.findings[0].found
    assert judged.findings[0].dropped == 1
    assert judged.dropped.tolist() == [3]
    for action, bound in (("warn", 0.05), ("drop", 0.1), ("stop", 0.1)):
        judged = judge(given, {"label_errors": (action, bound)})
        assert judged.dropped.tolist() == []
        assert refusal(judged.findings) == ""
    judged = judge(given, {"label_errors": ("stop", 0.05)})
    reason = refusal(judged.findings)
    assert reason.startswith("data.checks.label_errors: likely label errors: 10.0%, at most 5.0% expected")
    assert "label_errors.csv" in reason


def test_what_is_dropped_leaves_every_class_in_train_and_something_in_val():
    given = examples()
    assert emptied(given, np.zeros(0, int)) == ""
    assert emptied(given, given.rows("val")[1:]) == ""
    assert "leaves val without an example; mend the data" in emptied(given, given.rows("val"))
    of_class = np.flatnonzero(given.labels[:, 1] & (given.splits == "train"))
    assert emptied(given, of_class[1:]) == ""
    assert "leaves no example of 'b' in train" in emptied(given, of_class)

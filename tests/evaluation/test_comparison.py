"""Models of two runs on the examples that both test splits have."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.comparison import compare_answers
from evaluation.evidence import CANDIDATE, TestSet
from evaluation.intervals import paired_shares
from evaluation.predictions import MULTI_LABEL
from transforms.features import GROUP


def digests(*names: str) -> np.ndarray:
    return np.array([name.encode() for name in names], "S32")


def single(classes: str, labels: str, said: str, names: list[str], **more) -> TestSet:
    """Each example has a letter as its label, and the model is fairly sure of one."""
    rows = np.full((len(labels), len(classes)), 0.1)
    rows[np.arange(len(labels)), [classes.index(letter) for letter in said]] = 1 - 0.1 * (len(classes) - 1)
    found = np.array([classes.index(letter) for letter in labels])
    return TestSet(list(classes), found, {}, {CANDIDATE: rows}, digests=digests(*names), **more)


def metric(answers, name):
    return next(found for found in answers.metrics if found.name == name)


NAMES = [f"example {number}" for number in range(60)]


def test_examples_are_matched_by_their_bytes_in_whatever_order_and_columns():
    first = single("ab", "ab" * 30, "ab" * 15 + "ba" * 15, NAMES)
    # The same examples backwards, and a class that the first run does not know.
    second = single("bca", ("ab" * 30)[::-1], ("ab" * 20 + "bb" * 10)[::-1], NAMES[::-1])
    answers = compare_answers(first, second)
    assert (answers.examples, answers.only_first, answers.only_second, answers.relabelled) == (60, 0, 0, 0)
    counts = (answers.both_right, answers.first_right, answers.second_right, answers.neither_right)
    assert counts == (30, 0, 20, 10)
    accuracy = metric(answers, "accuracy")
    assert (accuracy.first, accuracy.second) == (0.5, pytest.approx(50 / 60))
    right_then, right_now = np.arange(60) < 30, (np.arange(60) < 40) | (np.arange(60) % 2 == 1)
    expected = paired_shares(right_now, right_then, 0.95)
    assert (accuracy.change.low, accuracy.change.high) == pytest.approx((expected.low, expected.high))
    assert accuracy.better == "second"
    assert metric(answers, "loss").better == "second", "less is better"
    back = compare_answers(second, first)
    assert metric(back, "accuracy").better == metric(back, "loss").better == "first"
    assert "retention" not in {found.name for found in answers.metrics}, "neither is the other's champion"


def test_a_difference_within_its_interval_is_none():
    first = single("ab", "ab" * 30, "ab" * 29 + "bb", NAMES)
    answers = compare_answers(first, single("ab", "ab" * 30, "ab" * 30, NAMES))
    assert metric(answers, "accuracy").second > metric(answers, "accuracy").first
    assert metric(answers, "accuracy").better is None


def test_other_test_splits_are_judged_on_what_they_share_and_by_the_labels_of_the_second():
    first = single("ab", "aabb", "aabb", ["1", "2", "3", "4"])
    second = single("ab", "abba", "abba", ["2", "3", "4", "5"])
    answers = compare_answers(first, second)
    assert (answers.examples, answers.only_first, answers.only_second) == (3, 1, 1)
    assert (answers.both_right, answers.neither_right) == (3, 0)
    relabelled = compare_answers(first, single("ab", "abbb", "abbb", ["1", "2", "3", "4"]))
    assert (relabelled.examples, relabelled.relabelled) == (4, 1)
    assert metric(relabelled, "accuracy").first == 0.75


def test_repeated_content_is_matched_as_often_as_both_have_it():
    first = single("ab", "aab", "aab", ["same", "same", "other"])
    answers = compare_answers(first, single("ab", "aaa", "aab", ["same", "same", "same"]))
    assert (answers.examples, answers.only_first, answers.only_second) == (2, 1, 1)


def test_test_splits_without_a_common_example_have_no_metrics():
    answers = compare_answers(single("ab", "ab", "ab", ["1", "2"]), single("ab", "ab", "ab", ["3", "4"]))
    assert (answers.examples, answers.only_first, answers.only_second, answers.metrics) == (0, 2, 2, [])


def test_groups_widen_intervals_and_costs_are_measured_where_they_are_known():
    patients = {GROUP: np.repeat(["p1", "p2", "p3", "p4", "p5", "p6"], 10)}
    first = single("ab", "ab" * 30, "ab" * 15 + "ba" * 15, NAMES)
    second = single("ab", "ab" * 30, "ab" * 30, NAMES)
    alone = metric(compare_answers(first, second), "accuracy").change
    grouped = TestSet(second.classes, second.labels, patients, second.probabilities, digests=second.digests)
    together = metric(compare_answers(first, grouped), "accuracy").change
    assert together.high - together.low > alone.high - alone.low
    costs = {"a": {"b": 5.0}}
    assert metric(compare_answers(first, second, costs), "expected_cost").first == pytest.approx(0.25 * 5 + 0.25)
    names = {found.name for found in compare_answers(first, second, {"a": {"gone": 5.0}}).metrics}
    assert "expected_cost" not in names


def test_several_labels_keep_what_each_model_said():
    actual = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    names = digests("1", "2", "3", "4")

    def answered(said):
        said = np.array(said, bool)
        probabilities, decided = {CANDIDATE: said * 0.8 + 0.1}, {CANDIDATE: said}
        return TestSet(["x", "y"], actual, {}, probabilities, decided, MULTI_LABEL, digests=names)

    answers = compare_answers(answered([[1, 0], [1, 1], [0, 1], [0, 0]]), answered([[1, 0], [1, 0], [0, 1], [1, 0]]))
    assert (answers.both_right, answers.first_right) == (2, 2)
    assert metric(answers, "hamming_loss").second == pytest.approx(2 / 8)

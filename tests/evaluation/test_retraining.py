"""What is new is counted by content, labels that moved are found, and the decision follows from facts and policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.data_checks.two_sample import two_sample_test
from evaluation.intervals import design_effect
from evaluation.retraining.decision import Examined, Facts, OnNew, decide, level_of_each
from evaluation.retraining.label_shift import difference, label_shift
from evaluation.retraining.news import Known, gone, news
from finetune.artifacts.data_findings import DataFinding
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.config.retrain import RetrainConfig

POLICY = RetrainConfig()
NOTHING = ("nothing to do", ["new examples"])
QUIET = Facts(examples=1010, new=10, changed=0, undecided=10, champion=3, made_with=1000, age_days=5.0)
WORSE = OnNew((40, 100), (95, 100))
MOVED = label_shift([("a",)] * 90 + [("b",)] * 10, [("b",)] * 20, 0.01)


def listed(path: str, sha256: str, label: str = "a", split: str = "train", mtime_ns: int = 1) -> ListedExample:
    return ListedExample(path, 8, mtime_ns, sha256, (label,) if label else (), split)


def differing(apart: float) -> Examined:
    random = np.random.default_rng(0)
    tested = two_sample_test(random.normal(size=(100, 4)), random.normal(size=(60, 4)) + apart, level_of_each(POLICY))
    return Examined(features=tested)


COLD = "the champion has left no weights to go on from"


def decisive(facts: Facts, policy: RetrainConfig = POLICY) -> tuple[str, list[str]]:
    decision = decide(facts, policy)
    return decision.action, [reason.name for reason in decision.decisive]


def test_what_is_new_is_counted_by_content_and_label_wherever_it_lies():
    then = [listed("a/1", "1"), listed("a/2", "2"), listed("a/bad", "", split="")]
    now = [
        listed("b/moved", "1"),  # the same content and label elsewhere, nothing new
        listed("a/2", "3", mtime_ns=2),  # a known path with another content
        listed("a/2 again", "2", label="b"),  # a known content with another label
        listed("a/4", "4"),
        listed("a/4 copied", "4"),
        listed("a/bad", "", split=""),  # the same file that could not be read then
    ]
    found = news(now, Known.of(then))
    assert [one.path for one in found.new] == ["a/4 copied"]
    assert sorted(one.path for one in found.changed) == ["a/2", "a/2 again"]
    assert gone(now, then) == 0
    assert gone(now[1:2], then) == 2
    assert not news(then, Known.of(then)).all


def test_a_list_is_read_back_as_it_was_written(tmp_path):
    examples = [listed("a/1", "1"), listed("b/2", "2", label="", split="")]
    ExampleList.of(examples).write(tmp_path)
    assert ExampleList.read(tmp_path).examples == examples


def test_labels_that_moved_are_found_and_the_interval_is_of_the_class_that_moved_most():
    before = [("a",)] * 60 + [("b",)] * 40
    found = label_shift(before, [("a",)] * 4 + [("b",)] * 26, level=0.01)
    assert found.differ
    assert (found.before, found.now) == ((0.4, 26 / 30) if found.label == "b" else (0.6, 4 / 30))
    assert found.change.low < found.now - found.before < found.change.high
    assert not label_shift(before, [("a",)] * 18 + [("b",)] * 12, level=0.01).differ


def test_labels_of_the_same_source_are_told_apart_as_often_as_the_level_says():
    random = np.random.default_rng(0)
    kinds = [("a",), ("b",), ("a", "b"), ()]

    def draw(count: int) -> list[tuple[str, ...]]:
        return [kinds[place] for place in random.choice(4, count, p=[0.5, 0.2, 0.2, 0.1])]

    alarms = sum(label_shift(draw(200), draw(30), 0.05, seed).differ for seed in range(200))
    # 10 are expected; 20 or more have a probability of 0.3 %.
    assert alarms < 20


def test_labels_of_groups_of_the_same_source_are_told_apart_as_often_as_the_level_says():
    """Patients of ten pictures each, nearly all of one label: two sets of patients, of one source."""
    random = np.random.default_rng(1)

    def draw(patients: int, first: int) -> tuple[list[tuple[str, ...]], np.ndarray]:
        usual = random.random(patients) < 0.5
        labels = np.where(random.random((patients, 10)) < 0.9, usual[:, np.newaxis], ~usual[:, np.newaxis]).ravel()
        return [("a",) if each else ("b",) for each in labels], np.repeat(
            np.arange(first, first + patients), 10
        ).astype(str)

    alone = grouped = narrow = 0
    for seed in range(100):
        (before, groups), (now, new_groups) = draw(30, 0), draw(12, 30)
        by_groups = label_shift(before, now, 0.05, seed, (groups, new_groups))
        single = label_shift(before, now, 0.05, seed)
        grouped, alone = grouped + by_groups.differ, alone + single.differ
        assert by_groups.change.high - by_groups.change.low > single.change.high - single.change.low
        narrow += not by_groups.change.low <= 0 <= by_groups.change.high
    # 5 are expected; 13 or more have a probability of 0.1 %.
    assert max(grouped, narrow) < 13 < 30 < alone
    moved = label_shift(
        [("a",)] * 300, [("b",)] * 120, 0.05, 0, (np.repeat(np.arange(30), 10).astype(str), np.full(120, ""))
    )
    assert moved.differ


def test_what_the_champion_gets_right_of_few_groups_is_no_drop_yet():
    hits = np.repeat([True, False, True, True], 25)
    of_groups = design_effect(hits, np.repeat(["p", "q", "r", "s"], 25))
    # By hand: 4 / 3 times the variance 3 / 16 of four shares over 4, beside 3 / 16 over 100.
    assert of_groups == pytest.approx(4 / 3 * 100 / 4)
    assert design_effect(hits, np.full(100, "")) == pytest.approx(100 / 99)
    assert design_effect(np.ones(20, bool), np.repeat(["p", "q"], 10)) == 10, "all right: a group is an example"
    examined = Examined(on_new=OnNew((75, 100), (95, 100), (of_groups, 1.0)))
    assert decisive(replace(QUIET, examined=examined)) == NOTHING
    single = replace(QUIET, examined=Examined(on_new=OnNew((75, 100), (95, 100))))
    assert decisive(single) == ("warm", ["champion on new examples"])


def test_the_interval_of_two_shares_is_that_of_the_published_example():
    # Newcombe 1998, table II, first row: 56/70 and 48/80, method 10.
    interval = difference((56, 70), (48, 80), 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_nothing_new_is_nothing_to_do_with_a_champion_and_without():
    nothing = replace(QUIET, new=0, undecided=0)
    assert decisive(nothing) == NOTHING
    assert decisive(replace(nothing, champion=None, made_with=None)) == NOTHING
    assert not nothing.worth_examining


def test_a_candidate_that_waits_comes_before_all_else():
    waiting = replace(QUIET, new=900, waiting="pushed/.pending/abc")
    assert decisive(waiting) == ("waiting", ["approval"])
    assert not waiting.worth_examining


@pytest.mark.parametrize(
    ("facts", "policy", "expected"),
    [
        (QUIET, {}, NOTHING),
        (replace(QUIET, champion=None, made_with=None), {}, ("cold", ["champion"])),
        (replace(QUIET, made_with=None), {}, ("warm", ["new examples"])),
        (replace(QUIET, new=60, changed=40), {}, ("warm", ["new examples"])),
        (replace(QUIET, new=60, changed=39), {}, NOTHING),
        (QUIET, {"min_new": 0.01}, ("warm", ["new examples"])),
        (QUIET, {"max_age_days": 5}, ("warm", ["age"])),
        (QUIET, {"max_age_days": 6}, NOTHING),
        (replace(QUIET, new_classes=["z"]), {}, ("warm", ["new classes"])),
        (replace(QUIET, unfinished=True), {}, ("warm", ["unfinished"])),
        (replace(QUIET, examined=Examined(refused="blurred")), {}, ("stop: data", ["data"])),
        (replace(QUIET, examined=differing(2.0)), {}, ("warm", ["frozen features"])),
        (replace(QUIET, examined=differing(2.0)), {"on_drift": "stop"}, ("stop: data", ["frozen features"])),
        (replace(QUIET, examined=differing(0.0)), {}, NOTHING),
        (replace(QUIET, examined=Examined(on_new=WORSE)), {}, ("warm", ["champion on new examples"])),
        (replace(QUIET, examined=Examined(on_new=OnNew((94, 100), (95, 100)))), {}, NOTHING),
        (replace(QUIET, examined=Examined(labels=MOVED)), {}, ("warm", ["labels"])),
    ],
)
def test_the_action_follows_from_facts_and_policy(facts, policy, expected):
    assert decisive(facts, RetrainConfig(**policy)) == expected


def test_reasons_have_numbers_and_say_what_was_not_looked_at():
    finding = DataFinding(
        check="label_errors", label="labels", action="warn", measures="", share=True, value=0.1, bound=0.05, found=True
    )
    why_not = {"frozen features": "it takes 10 examples"}
    examined = Examined(on_new=WORSE, why_not=why_not, findings=[finding])
    decision = decide(replace(QUIET, examined=examined), POLICY)
    reasons = {reason.name: reason for reason in decision.reasons}
    assert decision.reasons[0].name == "champion on new examples"
    assert reasons["champion on new examples"].value == pytest.approx(-0.55)
    assert reasons["champion on new examples"].interval.high < -0.02
    assert reasons["new examples"].value == 10
    assert reasons["new examples"].bound == 100
    assert (reasons["check label_errors"].value, reasons["check label_errors"].bound) == (0.1, 0.05)
    assert reasons["frozen features"].value is None
    assert reasons["frozen features"].sentence == "Not looked at: it takes 10 examples."


def test_all_tests_together_keep_the_level():
    assert level_of_each(POLICY) * 3 == pytest.approx(POLICY.level)


@pytest.mark.parametrize(
    ("facts", "cold_every", "action", "sentence"),
    [
        ({}, 5, "warm", "Training goes on from the champion, number 1 in a row; every 5th begins from the backbone."),
        ({"warm_in_a_row": 3}, 5, "warm", "Training goes on from the champion, number 4 in a row"),
        ({"warm_in_a_row": 4}, 5, "cold", "Training begins from the backbone, as 4 in a row went on from a champion"),
        ({}, 1, "cold", "Training begins from the backbone, as 0 in a row"),
        ({"why_cold": COLD}, 5, "cold", f"Training begins from the backbone, as {COLD}."),
    ],
)
def test_every_so_many_trainings_one_begins_from_the_backbone(facts, cold_every, action, sentence):
    decision = decide(replace(QUIET, new=500, **facts), RetrainConfig(cold_every=cold_every))
    assert decision.action == action
    assert {reason.name: reason for reason in decision.reasons}["start"].sentence.startswith(sentence)

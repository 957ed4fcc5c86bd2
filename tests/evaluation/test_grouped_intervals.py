"""Examples that come in groups: intervals resample the groups, and miss the truth no more often than they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from evaluation import intervals
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, change_interval, value_interval
from evaluation.metrics import METRICS, metrics_of
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, MultiLabel, SingleLabel
from evaluation.verdict import Tfma, findings, judge_all
from finetune.config.evaluation import GateConfig

GROUPS, EACH, TRIALS = 60, 10, 100


def answers(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    said = np.where(right, labels, 1 - labels)
    return np.where(np.eye(2, dtype=bool)[said], 0.8, 0.2)


def patients(random: np.random.Generator, models: int = 1) -> tuple[list[SingleLabel], np.ndarray]:
    """Pictures of patients, some of whom are easy and some hard: half of all are right, mean accuracy 0.5."""
    groups = np.repeat(np.arange(GROUPS), EACH)
    labels = random.integers(0, 2, len(groups))
    found = []
    for _ in range(models):
        ease = random.beta(0.5, 0.5, GROUPS)[groups]
        found.append(SingleLabel(labels, answers(random.random(len(groups)) < ease, labels), groups))
    return found, groups


def test_groups_are_resampled_and_single_examples_would_promise_too_much():
    random = np.random.default_rng(3)
    missed = {"groups": 0, "examples": 0, "paired": 0}
    for _ in range(TRIALS):
        (one, two), _ = patients(random, 2)
        by_group = value_interval(METRICS["accuracy"], one, 0.9)
        single = value_interval(METRICS["accuracy"], dataclasses.replace(one, groups=None), 0.9)
        paired = change_interval(METRICS["accuracy"], (one, two), "difference", 0.9)
        missed["groups"] += not by_group.low <= 0.5 <= by_group.high
        missed["examples"] += not single.low <= 0.5 <= single.high
        missed["paired"] += not paired.low <= 0.0 <= paired.high
    # Of 100 trials at 10 %, 10 are expected; 19 and more happen by chance in less than one of 150 cases.
    assert missed["groups"] <= 18
    assert missed["paired"] <= 18
    assert missed["examples"] > 33


@pytest.mark.parametrize("metric", ["accuracy", "auc", "macro_f1", "ece", "recall"])
def test_the_interval_is_that_of_drawing_groups_by_hand(metric):
    (found,), groups = patients(np.random.default_rng(5))
    of_class = 1 if metric == "recall" else None
    interval = value_interval(METRICS[metric], found, 0.9, of_class)
    assert "of groups" in interval.method
    random = np.random.default_rng(11)
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in random.integers(0, GROUPS, GROUPS)])
        drawn.append(METRICS[metric].value(found[rows], of_class))
    low, high = np.quantile(drawn, [0.05, 0.95])
    if metric == "ece":
        value = METRICS[metric].value(found)
        assert interval.high == pytest.approx(2 * value - low, abs=0.02)
        return
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)


@pytest.mark.parametrize("metric", metrics_of(SINGLE_LABEL))
def test_every_metric_has_intervals_of_groups(metric):
    (one, two), _ = patients(np.random.default_rng(7), 2)
    asked = METRICS[metric]
    one, two = (
        dataclasses.replace(
            each.at_costs(1 - np.eye(2)),
            remembered=np.arange(len(each)) % 3 > 0,
            ranks=np.arange(2 * len(each)).reshape(-1, 2) % 7,
        )
        for each in (one, two)
    )
    if metric.startswith("top_"):
        pytest.skip("undefined of two classes")
    of_class = None if asked.overall else 1
    interval = value_interval(METRICS[metric], one, 0.9, of_class)
    assert interval.low <= asked.value(one, of_class) <= interval.high
    assert "of groups" in interval.method
    assert "of groups" in change_interval(METRICS[metric], (one, two), "ratio", 0.9, of_class).method


def test_labels_of_several_have_groups_too():
    random = np.random.default_rng(2)
    actual = random.random((100, 3)) < 0.4
    found = MultiLabel(actual, np.where(actual, 0.7, 0.2), actual.copy(), np.arange(100) // 10)
    assert "of groups" in value_interval(METRICS["exact_match"], found, 0.9).method
    assert metrics_of(MULTI_LABEL)["exact_match"].value(found[:10]) == 1.0


def test_all_right_of_two_groups_prove_as_little_as_two_examples():
    labels = np.arange(100) % 2
    found = SingleLabel(labels, answers(labels >= 0, labels), np.arange(100) // 50)
    alone = SingleLabel(labels[:2], found.probabilities[:2])
    assert value_interval(METRICS["accuracy"], found, 0.95).low == value_interval(METRICS["accuracy"], alone, 0.95).low


def test_of_many_groups_subsets_give_the_interval_that_all_would(monkeypatch):
    (found,), _ = patients(np.random.default_rng(1))
    whole = value_interval(METRICS["accuracy"], found, 0.9)
    monkeypatch.setattr(intervals, "WHOLE", 50)
    monkeypatch.setattr(intervals, "SUBSET", 40)
    subsets = value_interval(METRICS["accuracy"], found, 0.9)
    assert (subsets.low, subsets.high) == pytest.approx((whole.low, whole.high), abs=0.02)
    assert subsets != whole


def test_gates_and_report_take_the_groups_of_the_test_set():
    (one, two), groups = patients(np.random.default_rng(4), 2)
    models = {CANDIDATE: one.probabilities, CHAMPION: two.probabilities}
    columns = {"group": groups.astype(str), "site": np.where(groups % 2, "a", "b")}
    test_set = TestSet(["x", "y"], one.labels, columns, models)
    gates = [
        GateConfig(metric="accuracy", min=-0.5, relative_to="champion", confidence=0.95, slice=where)
        for where in ({}, {"site": "a"})
    ]
    for result in judge_all(gates, test_set, Tfma(None, expected=False), []):
        assert "of groups" in result.interval.method
    found = findings(test_set, [["site"]])
    assert "of groups" in found.metrics["accuracy"].interval.method
    assert "of groups" in found.classes[0].metrics["recall"].interval.method
    assert "of groups" in found.slices[0].interval.method

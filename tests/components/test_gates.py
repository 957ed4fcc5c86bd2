"""The gates' own decisions."""

from __future__ import annotations

import dataclasses

import pytest

from evaluation.gates import Evidence, expand, judge, judge_one
from finetune.artifacts.findings import Interval
from finetune.config.evaluation import GateConfig

CHAMPION = {"reference": 0.9, "reference_name": "champion"}


def gate(**keys) -> GateConfig:
    return GateConfig(**{"metric": "accuracy", **keys})


@pytest.mark.parametrize(
    ("bound", "value", "passed", "reason"),
    [
        ({"min": 0.85}, 0.9, True, "0.9000 is at least 0.85"),
        ({"min": 0.85}, 0.85, True, "0.8500 is at least 0.85"),
        ({"min": 0.85}, 0.84, False, "0.8400 is below 0.85"),
        ({"max": 0.5}, 0.5, True, "0.5000 is at most 0.5"),
        ({"max": 0.5}, 0.51, False, "0.5100 is above 0.5"),
        ({"min": 0.85}, float("nan"), False, "nan is below 0.85"),
        ({"max": 0.85}, float("nan"), False, "nan is above 0.85"),
    ],
)
def test_absolute_bounds_include_their_value(bound, value, passed, reason):
    result = judge_one(gate(**bound), Evidence(value))
    assert (result.passed, result.reason) == (passed, reason)


def test_small_values_are_told_to_their_first_digits():
    assert judge_one(gate(max=0.005), Evidence(1.23e-7)).reason == "1.2e-07 is at most 0.005"
    assert judge_one(gate(max=0.005), Evidence(0.0)).reason == "0.0000 is at most 0.005"


@pytest.mark.parametrize(
    ("bound", "candidate", "passed"), [(-0.01, 0.895, True), (-0.01, 0.89, True), (-0.01, 0.88, False), (0.02, 0.91, 0)]
)
def test_relative_bounds_compare_with_the_champion(bound, candidate, passed):
    result = judge_one(gate(min=bound, relative_to="champion"), Evidence(candidate, **CHAMPION))
    assert result.passed == passed
    assert result.value == pytest.approx(candidate - 0.9)
    assert "champion's 0.9000" in result.reason


def test_a_ratio_is_of_the_candidate_to_the_other():
    slow = GateConfig(metric="latency_p50_ms_batch1", max=1.2, relative_to="champion", compare="ratio")
    found = [judge_one(slow, Evidence(value, 10.0, "champion")) for value in (11.9, 12.1)]
    assert [result.passed for result in found] == [True, False]
    assert found[1].reason == "1.2100 times (12.1000 beside the champion's 10.0000) is above 1.2"
    assert not judge_one(slow, Evidence(1.0, 0.0, "champion")).passed


def test_a_gate_relative_to_the_champion_passes_while_there_is_none_and_says_so():
    result = judge_one(gate(min=0.5, relative_to="champion"), Evidence(0.1, first_run=True))
    assert (result.passed, result.judged) == (True, False)
    assert "no champion yet" in result.reason


def test_a_reference_that_is_missing_for_another_reason_refuses():
    result = judge_one(gate(min=0.5, relative_to="champion"), Evidence(0.1, missing="the champion broke"))
    assert (result.passed, result.reason) == (False, "the champion broke")


def test_every_gate_is_judged_not_only_the_first_that_fails():
    gates = [gate(metric=metric, min=0.9) for metric in ("accuracy", "macro_f1")]
    results = judge(gates, lambda each: Evidence(0.1))
    assert [result.passed for result in results] == [False, False]
    assert all(result.advice for result in results)


def test_a_small_slice_is_not_judged():
    small = gate(min=0.8, slice={"label": "rose"}, min_examples=30)
    assert not judge_one(small, Evidence(0.5, examples=30)).passed
    few = judge_one(small, Evidence(0.5, examples=29))
    assert (few.passed, few.judged) == (True, False)
    assert "29 test examples are fewer than min_examples, 30" in few.reason


def test_what_the_test_split_has_no_example_of_refuses_or_is_told():
    unseen = Evidence(None, examples=0, missing="the test split has no owl", unseen=True)
    refused, told = (judge_one(gate(min=0.8, on_missing=rule), unseen) for rule in ("refuse", "tell"))
    assert (refused.passed, refused.judged, refused.reason) == (False, True, "the test split has no owl")
    assert (told.passed, told.judged, told.reason) == (True, False, "not judged: the test split has no owl")
    misspelt = judge_one(gate(min=0.8, on_missing="tell"), Evidence(None, missing="there is no class 'olw'"))
    assert not misspelt.passed, "what nobody was trained on is a mistake in the config"


# Interval (0.82, 0.92) and a bound below, within and above it.
@pytest.mark.parametrize(("bound", "proven", "not_disproven"), [(0.8, 1, 1), (0.85, 0, 1), (0.95, 0, 0)])
@pytest.mark.parametrize("upside_down", [False, True])
def test_with_confidence_an_end_of_the_interval_decides(bound, proven, not_disproven, upside_down):
    interval, evidence = Interval(0.82, 0.92, 0.95, "test"), Evidence(0.87)
    key = "min"
    if upside_down:
        interval, evidence, bound, key = Interval(-0.92, -0.82, 0.95, "test"), Evidence(-0.87), -bound, "max"
    evidence = dataclasses.replace(evidence, interval=interval)
    for rule, passed in (("unproven", proven), ("disproven", not_disproven)):
        asked = gate(**{key: bound}, confidence=0.95, refuse_when=rule)
        assert judge_one(asked, evidence).passed == passed, rule


def test_absolute_bounds_must_be_proven_and_a_loss_to_the_champion_too():
    assert gate(min=0.8, confidence=0.95).refuses_when == "unproven"
    assert gate(min=0.1, confidence=0.95, relative_to="majority").refuses_when == "unproven"
    assert gate(min=0, confidence=0.95, relative_to="champion").refuses_when == "disproven"
    assert not judge_one(gate(min=0.1, confidence=0.9), Evidence(0.9)).passed, "confidence without an interval"


def test_a_star_makes_one_gate_of_each_value_and_shares_the_risk():
    values = {("label",): [["daisy"], ["rose"]], ("label", "site"): [["daisy", "a"], ["rose", "a"], ["rose", "b"]]}
    stars = [
        gate(min=0, slice={"label": "*"}, confidence=0.95),
        gate(min=0, slice={"label": "*", "site": "*"}),
        gate(metric="recall", of_class="*", min=0.5),
        gate(min=0.5),
    ]
    expanded = expand(stars, lambda columns: values[tuple(columns)])
    assert [one.name for one in expanded] == [
        "accuracy >= 0 on label=daisy at 97.5 %",
        "accuracy >= 0 on label=rose at 97.5 %",
        "accuracy >= 0 on label=daisy, site=a",
        "accuracy >= 0 on label=rose, site=a",
        "accuracy >= 0 on label=rose, site=b",
        "recall of daisy >= 0.5",
        "recall of rose >= 0.5",
        "accuracy >= 0.5",
    ]
    assert expanded[0].confidence == pytest.approx(0.975)


def test_a_result_keeps_interval_and_slice():
    interval = Interval(0.8, 0.9, 0.95, "Wilson")
    result = judge_one(gate(min=0.5, slice={"label": 3}), Evidence(0.85, interval=interval, examples=9))
    assert result.interval == interval
    assert result.slice == {"label": "3"}

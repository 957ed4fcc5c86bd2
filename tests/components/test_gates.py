"""The gates' own decisions, and the same bounds as TFMA thresholds."""

from __future__ import annotations

import pytest

from components.evaluation.gates import OVERALL, judge
from pipeline.config import GateConfig

ROSE = (("label", "rose"),)


@pytest.mark.parametrize(
    ("gate", "value", "passed", "reason"),
    [
        ({"min": 0.85}, 0.9, True, "0.9000 is at least 0.85"),
        ({"min": 0.85}, 0.85, True, "0.8500 is at least 0.85"),
        ({"min": 0.85}, 0.84, False, "0.8400 is below 0.85"),
        ({"max": 0.5}, 0.5, True, "0.5000 is at most 0.5"),
        ({"max": 0.5}, 0.51, False, "0.5100 is above 0.5"),
        ({"min": 0.85}, float("nan"), False, "nan is below 0.85"),
    ],
)
def test_absolute_bounds_include_their_value(gate, value, passed, reason):
    (result,) = judge([GateConfig(metric="accuracy", **gate)], {OVERALL: {"accuracy": value}}, None)
    assert (result.passed, result.reason) == (passed, reason)


@pytest.mark.parametrize(
    ("bound", "candidate", "passed"), [(-0.01, 0.895, True), (-0.01, 0.88, False), (0.02, 0.91, False)]
)
def test_relative_bounds_compare_with_the_champion(bound, candidate, passed):
    gate = GateConfig(metric="accuracy", min=bound, relative_to="champion")
    (result,) = judge([gate], {OVERALL: {"accuracy": candidate}}, {OVERALL: {"accuracy": 0.9}})
    assert result.passed is passed
    assert result.value == pytest.approx(candidate - 0.9)
    assert "champion's 0.9000" in result.reason


def test_a_relative_gate_passes_while_there_is_no_champion_and_says_so():
    gate = GateConfig(metric="accuracy", min=0.5, relative_to="champion")
    (result,) = judge([gate], {OVERALL: {"accuracy": 0.1}}, None)
    assert result.passed
    assert "no champion yet" in result.reason


def test_every_gate_is_judged_not_only_the_first_that_fails():
    gates = [GateConfig(metric=metric, min=0.9) for metric in ("accuracy", "macro_f1")]
    results = judge(gates, {OVERALL: {"accuracy": 0.1, "macro_f1": 0.2}}, None)
    assert [result.passed for result in results] == [False, False]


def test_a_slice_is_judged_by_its_own_metrics_and_refused_when_empty():
    gate = GateConfig(metric="accuracy", min=0.8, slice={"label": "rose"})
    metrics = {OVERALL: {"accuracy": 0.9}, ROSE: {"accuracy": 0.5}}
    assert not judge([gate], metrics, None)[0].passed
    (empty,) = judge([gate], {OVERALL: {"accuracy": 0.9}}, None)
    assert not empty.passed
    assert "no example with label=rose" in empty.reason

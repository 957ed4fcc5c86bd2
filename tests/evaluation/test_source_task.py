"""What features still give for an earlier task: the metric, its interval and its gate."""

from __future__ import annotations

import re

import numpy as np
import pytest

from evaluation.checks import gates_can_be_measured
from evaluation.intervals import paired_shares
from evaluation.source_task import interval_of, judge_source, source_task
from finetune.config.evaluation import GateConfig

UNSURE = GateConfig(metric="source_retention", min=-0.05)
SURE = GateConfig(metric="source_retention", min=-0.05, confidence=0.95)


def probed(forgotten: int, gained: int = 0, examples: int = 200):
    """Both probes are right on 150, but for what was forgotten and gained."""
    before = np.arange(examples) < 150
    after = before.copy()
    after[:forgotten] = False
    after[150 : 150 + gained] = True
    return before, after, source_task(before, after, 5, 0.1)


def test_it_is_the_difference_of_both_accuracies_with_the_paired_interval():
    before, after, found = probed(forgotten=30, gained=6)
    assert (found.before, found.after) == (0.75, (150 - 30 + 6) / 200)
    assert found.retention == pytest.approx(-0.12)
    assert found.interval == paired_shares(after, before, 0.95)
    assert found.interval.low < -0.12 < found.interval.high < 0
    assert interval_of(found, 0.99) == paired_shares(after, before, 0.99)
    assert found.plain()["retention"] == found.retention


def test_what_is_written_is_read_back(tmp_path):
    _, _, found = probed(forgotten=30, gained=6)
    found.write(tmp_path)
    assert type(found).read(tmp_path) == found


def test_the_gate_refuses_what_was_forgotten():
    (refused,) = judge_source([GateConfig(metric="accuracy", min=0.1), SURE], probed(forgotten=30)[2])
    assert not refused.passed
    assert refused.value == pytest.approx(-0.15)
    assert refused.interval is not None
    assert refused.interval.confidence == 0.95
    assert "training.peft" in refused.advice
    (kept,) = judge_source([SURE], probed(forgotten=0)[2])
    assert (kept.passed, kept.value) == (True, 0.0)


def test_with_confidence_a_point_above_the_bound_is_not_enough():
    found = probed(forgotten=8, gained=2)[2]
    assert [judge_source([gate], found)[0].passed for gate in (UNSURE, SURE)] == [True, False]


def test_what_was_not_probed_is_refused():
    (refused,) = judge_source([UNSURE], None)
    assert (refused.passed, refused.value) == (False, None)
    assert "not probed" in refused.reason


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ({}, ""),
        ({"confidence": 0.9, "refuse_when": "disproven"}, ""),
        ({"relative_to": "champion"}, "compares with the pretrained backbone already"),
        ({"slice": {"label": "rose"}}, r"\.slice: got .* measured on evaluation.source_task, not on test examples"),
        ({"of_class": "rose"}, "of_class"),
    ],
)
def test_a_gate_takes_what_goes_with_it(gate, problem):
    raw = {"evaluation": {"source_task": "digits", "gates": [{"metric": "source_retention", "min": 0, **gate}]}}
    problems = gates_can_be_measured(raw)
    if not problem:
        assert not problems
        return
    (found,) = problems
    assert re.search(problem, found)


def test_a_gate_without_the_folder_says_what_is_missing():
    (problem,) = gates_can_be_measured({"evaluation": {"gates": [{"metric": "source_retention", "min": 0}]}})
    assert "evaluation.source_task" in problem

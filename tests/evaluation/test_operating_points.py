"""What screening asks for: sensitivity at a specificity, the reverse, and what mistakes cost."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import confusion_matrix, roc_curve
from sklearn.naive_bayes import BernoulliNB

from evaluation.checks import gates_can_be_measured
from evaluation.evidence import CANDIDATE, TestSet, value_interval
from evaluation.metrics import METRICS, metric_of
from evaluation.predictions import SingleLabel
from evaluation.verdict import Tfma, findings, judge_all
from finetune.config.evaluation import EvaluationConfig, GateConfig
from finetune.errors import DataError

REAL = Path(os.environ.get("FINETUNE_REAL_DATA", Path(__file__).parents[3] / "shared" / "real"))
NO_TFMA = Tfma(None, expected=False)


def by_sklearn(actual: np.ndarray, scores: np.ndarray, at: float) -> float:
    false_alarms, hits, _ = roc_curve(actual, scores, drop_intermediate=False)
    return float(hits[false_alarms <= 1 - at + 1e-9].max())


@pytest.fixture(scope="module")
def spam() -> TestSet:
    """Messages that a quick model was not shown, and its probabilities, few and with ties as those of a table have."""
    table = REAL / "text" / "sms_spam.tsv"
    if not table.is_file():
        pytest.skip(f"no SMS Spam Collection at {table}; set FINETUNE_REAL_DATA")
    with table.open(encoding="utf-8", newline="") as file:
        labels, texts = zip(*csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), strict=True)
    actual = np.array([label == "spam" for label in labels])
    words = CountVectorizer(max_features=150, binary=True).fit_transform(texts)
    train = np.arange(len(actual)) % 4 > 0
    probabilities = BernoulliNB().fit(words[train], actual[train]).predict_proba(words[~train]).round(4)
    return TestSet(["ham", "spam"], actual[~train].astype(int), {}, {CANDIDATE: probabilities})


def test_sensitivity_at_95_percent_specificity_of_real_messages_is_that_of_scikit_learn(spam):
    gate = {"metric": "sensitivity_at_specificity", "at": 0.95, "of_class": "spam"}
    proven, unproven = (GateConfig(**gate, min=bound, confidence=0.9) for bound in (0.5, 0.999))
    passed, failed = judge_all([proven, unproven], spam, NO_TFMA, [])
    actual, scores = spam.labels == 1, spam.probabilities[CANDIDATE][:, 1]
    assert passed.name == "sensitivity_at_specificity 0.95 of spam >= 0.5 at 90 %"
    assert passed.value == pytest.approx(by_sklearn(actual, scores, 0.95), abs=1e-12)
    assert 0.5 < passed.value < 0.999
    assert (passed.passed, failed.passed) == (True, False)
    assert "AUC" in failed.advice

    random = np.random.default_rng(17)
    drawn = [random.integers(0, len(actual), len(actual)) for _ in range(1000)]
    low, high = np.quantile([by_sklearn(actual[rows], scores[rows], 0.95) for rows in drawn], [0.05, 0.95])
    # Two quantiles of a thousand draws, and two of two thousand others, differ by chance.
    assert (passed.interval.low, passed.interval.high) == pytest.approx((low, high), abs=(high - low) / 5)


@pytest.mark.parametrize("at", [0.5, 0.8, 0.9, 0.99])
def test_any_point_is_that_of_scikit_learn(spam, at):
    found = spam.of(CANDIDATE)
    gate = GateConfig(metric="sensitivity_at_specificity", at=at, of_class="spam", min=0)
    assert metric_of(gate).value(found, 1) == pytest.approx(
        by_sklearn(found.labels == 1, found.probabilities[:, 1], at)
    )
    reverse = GateConfig(metric="specificity_at_sensitivity", at=at, of_class="spam", min=0)
    # Of the other class, whose scores are the same from below: specificity is its sensitivity.
    assert metric_of(reverse).value(found, 1) == pytest.approx(metric_of(gate).value(found, 0), abs=1e-9)


def test_intervals_miss_the_truth_no_more_often_than_they_may():
    # Normal scores one and a half apart: at 90 % specificity, sensitivity is P(Z > 1.2816 - 1.5).
    truth, missed = 0.5864, 0
    metric = METRICS["sensitivity_at_specificity"].at(0.9)
    for seed in range(100):
        random = np.random.default_rng(seed)
        labels = (np.arange(300) % 3 == 0).astype(int)
        scores = 1 / (1 + np.exp(-random.normal(1.5 * labels)))
        interval = value_interval(metric, SingleLabel(labels, np.stack([1 - scores, scores], axis=1)), 0.9, 1)
        missed += not interval.low <= truth <= interval.high
    # 10 are expected; 19 and more happen by chance in less than one of 150 cases.
    assert missed <= 18


def test_nineteen_of_twenty_are_95_percent():
    labels = np.array([0] * 20 + [1] * 4)
    scores = np.array([0.6] + [0.1] * 19 + [0.7, 0.5, 0.5, 0.05])
    found = SingleLabel(labels, np.stack([1 - scores, scores], axis=1))
    metric = METRICS["sensitivity_at_specificity"]
    assert metric.at(0.95).value(found, 1) == 0.75
    assert metric.at(0.96).value(found, 1) == 0.25
    assert METRICS["specificity_at_sensitivity"].at(0.75).value(found, 1) == 0.95


def test_costs_are_those_of_the_confusion_matrix_times_the_costs(spam):
    costs = {"spam": {"ham": 1.0}, "ham": {"spam": 20.0}}
    priced = TestSet(spam.classes, spam.labels, {}, spam.probabilities, costs=costs)
    gates = [GateConfig(metric="expected_cost", max=bound, confidence=0.9) for bound in (10, 0.001)]
    cheap, dear = judge_all(gates, priced, NO_TFMA, [])
    counted = confusion_matrix(spam.labels, spam.probabilities[CANDIDATE].argmax(axis=1))
    assert cheap.value == pytest.approx((counted * [[0, 20], [1, 0]]).sum() / counted.sum())
    assert cheap.interval.low < cheap.value < cheap.interval.high
    assert (cheap.passed, dear.passed) == (True, False)
    assert findings(priced, []).metrics["expected_cost"].value == cheap.value
    assert "expected_cost" not in findings(spam, []).metrics
    assert judge_all(gates, spam, NO_TFMA, [])[0].reason == "it is undefined where evaluation.costs says nothing"
    with pytest.raises(DataError, match=r"evaluation.costs.ham.spma: there is no class 'spma'.*Did you mean 'spam'"):
        judge_all(
            gates, TestSet(spam.classes, spam.labels, {}, spam.probabilities, costs={"ham": {"spma": 2}}), NO_TFMA, []
        )


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"metric": "sensitivity_at_specificity", "of_class": "a"}, ".at: missing; expected what sensitivity_at_"),
        ({"metric": "sensitivity_at_specificity", "at": 0.9}, ".of_class: missing"),
        ({"metric": "recall", "of_class": "a", "at": 0.9}, ".at: got 0.9; recall holds nothing. Leave it out, or take"),
        ({"metric": "expected_cost"}, ".metric: got 'expected_cost'; expected what mistakes cost in evaluation.costs"),
        ({"metric": "size_mb", "at": 0.9}, ".at: got 0.9; size_mb is measured on the exported model"),
        ({"metric": "sensitivity_at_specificity", "at": 0.9, "of_class": "a"}, None),
    ],
)
def test_what_a_gate_holds_goes_with_its_metric(gate, says):
    found = gates_can_be_measured({"evaluation": {"gates": [{"min": 0.5, **gate}]}})
    assert [problem.startswith(f"evaluation.gates[0]{says}") for problem in found] == ([True] if says else [])


@pytest.mark.parametrize(("cost", "says"), [({"a": {"a": 1}}, "what is right"), ({"a": {"b": -1}}, "from 0 on")])
def test_costs_that_are_none(cost, says):
    with pytest.raises(ValueError, match=says):
        EvaluationConfig(costs=cost)

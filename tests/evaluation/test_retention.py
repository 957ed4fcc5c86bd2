"""What was forgotten, measured on what the champion was to know, as a metric and as a gate."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.evidence import TestSet, evidence_for
from evaluation.gates import judge_one
from evaluation.metrics import METRICS
from finetune.config.evaluation import GateConfig

CLASSES = ["a", "b", "c"]
GATE = GateConfig(metric="retention", min=-0.02, relative_to="champion", confidence=0.95)


def said(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[labels]


def two_models(forgotten: int, spans: list[str] | None = None, known=("a", "b"), champion=True) -> TestSet:
    """200 examples of `a`, `b` and `c` by turns, all known to a champion; of `a`, a candidate has forgotten some."""
    labels = np.arange(200) % 3
    of_candidate = labels.copy()
    of_candidate[np.flatnonzero(labels == 0)[:forgotten]] = 2
    models = {"candidate": said(of_candidate), "champion": said(np.where(labels == 2, 0, labels))}
    if not champion:
        del models["champion"]
    columns = {"span": np.array(spans)} if spans else {}
    return TestSet(CLASSES, labels, columns, models, known=list(known) if champion else None)


def judged(found: TestSet):
    return judge_one(GATE, evidence_for(GATE, found))


def test_it_is_the_accuracy_on_the_classes_that_the_champion_knows():
    metric, found = METRICS["retention"], two_models(forgotten=34)
    assert metric.value(found.of("candidate")) == pytest.approx(1 - 34 / 134)
    assert metric.value(found.of("champion")) == 1
    assert METRICS["accuracy"].value(found.of("champion")) == pytest.approx(134 / 200)
    everything = two_models(forgotten=0, known=CLASSES)
    assert metric.value(everything.of("champion")) == METRICS["accuracy"].value(everything.of("champion"))


def test_of_spans_the_latest_is_no_memory():
    spans = ["9"] * 100 + ["10"] * 100
    found = two_models(forgotten=17, spans=spans)
    old = np.arange(100) % 3 != 2
    assert METRICS["retention"].value(found.of("candidate")) == pytest.approx(1 - 17 / old.sum())
    dates = two_models(forgotten=17, spans=["2025-12-31"] * 100 + ["2026-01-07"] * 100)
    assert METRICS["retention"].value(dates.of("candidate")) == METRICS["retention"].value(found.of("candidate"))


def test_the_gate_refuses_what_forgot_and_passes_what_did_not():
    forgot = judged(two_models(forgotten=34))
    assert not forgot.passed
    assert forgot.value == pytest.approx(-34 / 134)
    assert forgot.interval.method.startswith("Newcombe")
    assert "data.window" in forgot.advice
    assert judged(two_models(forgotten=0)).passed


def test_a_first_model_has_forgotten_nothing_and_an_absolute_bound_asks_for_a_champion():
    first = judged(two_models(forgotten=0, champion=False))
    assert (first.passed, first.judged) == (True, False)
    absolute = GateConfig(metric="retention", min=0.5)
    refused = judge_one(absolute, evidence_for(absolute, two_models(forgotten=0, champion=False)))
    assert not refused.passed
    assert "there is no champion" in refused.reason


def test_a_split_with_nothing_to_remember_refuses_and_says_so():
    found = judged(two_models(forgotten=0, known=["z"]))
    assert not found.passed
    assert "no test example of what it knows" in found.reason

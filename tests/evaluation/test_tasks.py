"""Every task keeps the contract, and has default gates that can be measured."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from components.bulk_inferrer.tasks import TASKS as INFERRER_TASKS
from components.bulk_inferrer.tasks.contract import places
from evaluation import verdict
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.metrics import metrics_of
from evaluation.tasks import TASKS, gates_for, gates_of
from evaluation.tasks.contract import check_task
from finetune.config import Config
from finetune.config.evaluation import EvaluationConfig, GateConfig

NAMES = [["a"], ["b"], ["c"], ["a"], ["b"], ["c"]]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    check_task(name, INFERRER_TASKS[name].labels(NAMES, places(name, NAMES), ["a", "b", "c"]))


def test_a_task_led_by_a_metric_of_another_task_is_told_so(monkeypatch):
    monkeypatch.setattr(type(TASKS["multi_label"]), "leading", "accuracy")
    with pytest.raises(AssertionError, match="led by 'accuracy', which is none of its metrics"):
        check_task("multi_label", np.eye(3)[[0, 1, 2, 0, 1, 2]])


def test_the_root_says_whether_spans_have_a_gate_of_their_own():
    whole = {"name": "wares", "backbone": {"name": "SmallCNN", "weights": "w.h5", "image_size": 32}}
    plain, in_spans = (
        gates_for(Config.model_validate({**whole, "data": {"root": root}})) for root in ("wares", "wares/{SPAN}")
    )
    assert [gate.slice for gate in in_spans if gate.slice] == [{"span": "ordinary"}]
    assert len(in_spans) == len(plain) + 1


def test_gates_of_the_config_stand_in_place_of_the_default():
    assert [gate.name for gate in gates_of("single_label", EvaluationConfig())] == [
        "accuracy - majority >= +0 at 95 %",
        "accuracy - logistic regression >= +0 at 95 %",
        "accuracy - champion >= -0.01 at 95 %",
    ]
    (only,) = gates_of("multi_label", EvaluationConfig(baselines=[]))
    assert only.name == "micro_f1 - champion >= -0.01 at 95 %"
    *_, later = gates_of("single_label", EvaluationConfig(promotion_risk=None))
    assert later.name == "accuracy - champion >= -0.01 at 90 %", "each candidate by itself risks 5 %"
    *_, overall, ordinary = gates_of("single_label", EvaluationConfig(promotion_risk=None), in_spans=True)
    assert overall == later
    assert ordinary.name == "accuracy - champion >= -0.04 on span=ordinary at 90 %"
    assert ordinary.on_missing == "tell", "a world that has moved for good is judged by itself"
    own = GateConfig(metric="ece", max=0.1)
    assert gates_of("multi_label", EvaluationConfig(gates=[own])) == [own]


def several_labels() -> TestSet:
    random = np.random.default_rng(5)
    labels = random.random((150, 3)) < [0.2, 0.4, 0.6]
    sites = random.choice(["north", "south"], 150)
    probabilities = {
        name: 1 / (1 + np.exp(-random.normal(size=labels.shape) - skill * (2 * labels - 1)))
        for name, skill in ((CANDIDATE, 2.0), (CHAMPION, 0.3))
    }
    said = {name: found >= 0.5 for name, found in probabilities.items()}
    return TestSet(["cat", "dog", "owl"], labels, {"site": sites}, probabilities, said, "multi_label")


def test_findings_of_several_labels_are_led_by_micro_f1_with_intervals_everywhere():
    test_set = several_labels()
    found = verdict.findings(test_set, [["label"], ["site"]])
    json.dumps(found.plain(), allow_nan=False, default=dataclasses.asdict)
    assert found.leading == "micro_f1"
    assert {"micro_f1", "macro_f1", "mean_average_precision", "auc", "exact_match", "hamming_loss"} < set(found.metrics)
    assert all(measured.interval and measured.change for measured in found.metrics.values())
    for row in found.classes:
        assert set(row.metrics) == {name for name, metric in metrics_of("multi_label").items() if metric.per_class}
        assert all(measured.interval for measured in row.metrics.values())
    by_slice = {tuple(row.slice.items()): row for row in found.slices}
    north = test_set.of(CANDIDATE)[test_set.columns["site"] == "north"]
    hits = (north.actual & north.said).sum()
    expected = 2 * hits / (north.actual.sum() + north.said.sum())
    assert by_slice[(("site", "north"),)].value == pytest.approx(expected)
    assert by_slice[(("label", "owl"),)].examples == test_set.labels[:, 2].sum()


def test_gates_on_each_label_and_on_each_slice_name_what_is_worse():
    test_set = several_labels()
    test_set.probabilities[CANDIDATE][:, 1] = 0.01
    worse = dataclasses.replace(test_set, said={name: found >= 0.5 for name, found in test_set.probabilities.items()})
    gates = [
        GateConfig(metric="f1", of_class="*", min=0, relative_to="champion", confidence=0.95),
        GateConfig(metric="auc", of_class="owl", min=0.7, confidence=0.95),
        GateConfig(metric="micro_f1", min=0, relative_to="champion", slice={"site": "*"}),
    ]
    results = verdict.judge_all(gates, worse, verdict.Tfma(None, expected=False), [])
    assert [(result.of_class, result.passed) for result in results[:3]] == [
        ("cat", True),
        ("dog", False),
        ("owl", True),
    ]
    assert results[3].passed
    assert results[3].interval.method == "DeLong"
    assert [result.slice for result in results[4:]] == [{"site": "north"}, {"site": "south"}]

"""The verdict on all gates together, and the test set that it is made from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks import TASKS
from components.bulk_inferrer.tasks.contract import check_task
from components.bulk_inferrer.test_set import load_test_set, make_test_set, save_test_set
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.metrics import metrics_of
from evaluation.metrics.retrieval import RECALLS
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL
from evaluation.tasks import gates_of
from evaluation.verdict import TFMA_GATE, Tfma, findings, judge_all
from finetune.artifacts.findings import GateResult
from finetune.config.evaluation import EvaluationConfig, GateConfig

LABELS = ["cat", "dog", "dog", "cat", "owl", "dog"]
SITES = ["a", "b", "a", "b", "a", ""]
BLESSED = Tfma(blessed=True, expected=True)


def made(**others):
    """The candidate is right four times out of six."""
    names = ["owl", "cat", "dog"]
    guesses = ["cat", "dog", "cat", "cat", "owl", "cat"]
    candidate = np.full((6, 3), 0.1)
    candidate[np.arange(6), [names.index(guess) for guess in guesses]] = 0.8
    models = {CANDIDATE: (candidate, names), **others}
    answers = {name: Answers(*model) for name, model in models.items()}
    return make_test_set(SINGLE_LABEL, [[label] for label in LABELS], {"site": SITES}, answers)


def test_columns_are_put_into_one_order_and_unknown_classes_have_no_probability():
    # The champion knows no owl, and a class that is gone since.
    champion = np.tile([0.7, 0.2, 0.1], (6, 1))
    test_set = made(champion=(champion, ["dog", "fox", "cat"]))
    assert test_set.classes == ["cat", "dog", "fox", "owl"]
    assert [test_set.classes[label] for label in test_set.labels] == LABELS
    assert test_set.of(CHAMPION).probabilities[0] == pytest.approx([0.1, 0.7, 0.2, 0.0])
    assert test_set.of(CANDIDATE).correct.tolist() == [True, True, False, True, True, False]
    found = findings(test_set, [["label"]])
    assert found.metrics["accuracy"].champion == pytest.approx(0.5)
    assert np.isfinite(found.metrics["loss"].champion)


def part(test_set, rows):
    columns, probabilities = (
        {name: values[rows] for name, values in arrays.items()} for arrays in (test_set.columns, test_set.probabilities)
    )
    return replace(test_set, labels=test_set.labels[rows], columns=columns, probabilities=probabilities)


def test_a_test_set_survives_its_file(tmp_path):
    test_set = made()
    save_test_set([part(test_set, slice(4)), part(test_set, slice(4, 6))], 6, str(tmp_path))
    read = load_test_set(str(tmp_path))
    assert (read.classes, read.labels.tolist()) == (test_set.classes, test_set.labels.tolist())
    assert read.columns["site"].tolist() == SITES
    assert (read.probabilities[CANDIDATE] == test_set.probabilities[CANDIDATE]).all()


def judged(test_set, **gate):
    results = judge_all([GateConfig(**gate)], test_set, Tfma(None, expected=False), [])
    return {(*result.slice.values(), result.of_class): (result.passed, result.judged) for result in results}


def of_class(name):
    """Test examples of one class alone; the candidate was trained on three, the champion on one that is gone since."""
    champion = np.tile([0.7, 0.2, 0.1], (6, 1))
    test_set = made(champion=(champion, ["dog", "fox", "cat"]))
    return part(test_set, np.flatnonzero(test_set.members({"label": name})))


@pytest.mark.parametrize(("rule", "unseen"), [("refuse", (False, True)), ("tell", (True, False))])
def test_a_star_leaves_out_no_class_that_the_candidate_was_trained_on(rule, unseen):
    recall = judged(of_class("dog"), metric="recall", of_class="*", min=0.3, on_missing=rule)
    assert recall == {("cat",): unseen, ("dog",): (True, True), ("owl",): unseen}
    accuracy = judged(of_class("dog"), metric="accuracy", slice={"label": "*", "site": "*"}, min=0.3, on_missing=rule)
    assert accuracy == {
        **{(name, site, None): unseen for name in ("cat", "owl") for site in ("", "a", "b")},
        ("dog", "a", None): (False, True),
        ("dog", "b", None): (True, True),
        ("dog", "", None): (False, True),
    }


def test_a_class_that_only_the_test_split_has_is_judged_too():
    names = ["cat", "dog"]
    strangers = made(candidate=(np.full((6, 2), 0.5), names))
    assert judged(strangers, metric="recall", of_class="*", min=0.5)[("owl",)] == (False, True)


@pytest.mark.parametrize(("rule", "unseen"), [("refuse", (False, True)), ("tell", (True, False))])
def test_an_empty_slice_refuses_or_is_told(rule, unseen):
    empty = {"metric": "accuracy", "min": 0.1, "on_missing": rule}
    assert judged(made(), slice={"site": "c"}, **empty) == {("c", None): unseen}
    assert judged(made(), slice={"site": "b", "label": "owl"}, **empty) == {("b", "owl", None): unseen}


def test_a_class_with_one_test_example_is_judged_by_it_and_proves_little():
    one = {"metric": "recall", "of_class": "owl", "min": 0.5}
    assert judged(made(), **one) == {("owl",): (True, True)}
    assert judged(made(), **one, confidence=0.95) == {("owl",): (False, True)}
    assert judged(made(), **one, min_examples=2) == {("owl",): (True, False)}


PASSING, FAILING = GateConfig(metric="accuracy", min=0.5), GateConfig(metric="accuracy", min=0.9)


@pytest.mark.parametrize(
    ("tfma", "gates", "names"),
    [
        (BLESSED, [PASSING], []),
        (BLESSED, [PASSING, FAILING], ["accuracy >= 0.9"]),
        # Both must agree: one that refuses what the other lets pass is a failed gate of its own.
        (Tfma(False, True, ("accuracy is 0.4000",)), [PASSING], [TFMA_GATE]),
        (Tfma(False, True), [FAILING], ["accuracy >= 0.9"]),
        (Tfma(None, True), [PASSING], [TFMA_GATE]),
        (Tfma(None, False), [PASSING], []),
    ],
)
def test_both_verdicts_must_agree(tfma, gates, names):
    results = judge_all(gates, made(), tfma, [])
    assert [result.name for result in results if not result.passed] == names
    if tfma.failures:
        assert "accuracy is 0.4000" in results[-1].reason


def test_gates_on_the_exported_model_come_as_they_were_judged():
    size = GateConfig(metric="size_mb", max=1)
    judged = GateResult(size.name, "size_mb", value=2.0, bound=1.0, passed=False, reason="too big")
    results = judge_all([PASSING, size], made(), BLESSED, [judged])
    assert [result.name for result in results] == [PASSING.name, size.name]
    assert results[1] == judged


def test_findings_are_json_and_hold_what_the_report_shows():
    found = findings(made(), [["label"], ["site"], ["label", "site"]])
    json.dumps(found.plain(), allow_nan=False)
    # Of three classes, there is no top-3 accuracy; without vectors, there is nothing to recall.
    measured = {name for name, metric in metrics_of(SINGLE_LABEL).items() if metric.overall}
    without = {"top_3_accuracy", "top_5_accuracy", "expected_cost", "retention", *(each.name for each in RECALLS)}
    assert set(found.metrics) == measured - without
    assert [row.name for row in found.classes] == ["cat", "dog", "owl"]
    assert found.classes[1].metrics["recall"].value == pytest.approx(1 / 3)
    slices = {tuple(row.slice.items()): row for row in found.slices}
    assert slices[(("site", "b"),)].value == 1.0
    assert slices[(("site", ""),)].examples == 1
    assert (("label", "owl"), ("site", "b")) not in slices
    assert found.slices_left_out == 0


def test_very_many_slices_keep_the_largest(monkeypatch):
    monkeypatch.setattr("evaluation.verdict.SLICES_KEPT", 2)
    found = findings(made(), [["label"]])
    assert [row.slice["label"] for row in found.slices] == ["cat", "dog"]
    assert found.slices_left_out == 1


def test_labels_of_several_are_put_into_one_order_and_sliced_by_each(tmp_path):
    labels = [["a", "b"], [], ["b"], ["c"]]
    probabilities = np.array([[0.9, 0.2], [0.1, 0.1], [0.2, 0.9], [0.6, 0.1]], np.float32)
    candidate = Answers(probabilities, ["b", "a"], probabilities >= 0.5)
    test_set = make_test_set(MULTI_LABEL, labels, {"site": list("xyxy")}, {CANDIDATE: candidate})
    save_test_set([test_set], 4, str(tmp_path))
    read = load_test_set(str(tmp_path))
    assert read.classes == ["a", "b", "c"], "a label that no model knows has a column"
    assert read.of(CANDIDATE).actual.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert read.of(CANDIDATE).said.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert read.members({"label": "b"}).tolist() == [True, False, True, False]
    assert read.combinations(["label", "site"]) == [["a", "x"], ["b", "x"], ["c", "y"]]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_of_the_bulk_inferrer_keeps_the_contract(name):
    check_task(name, TASKS[name])


def first_model(skills: dict[str, float], examples: int = 200) -> TestSet:
    """Three classes, one of which has half of the examples; a skill is the share of labels that are known."""
    random = np.random.default_rng(8)
    labels = random.choice(3, examples, p=[0.5, 0.3, 0.2])
    answers = {"majority": np.zeros(examples, dtype=int)}
    for name, skill in skills.items():
        answers[name] = np.where(random.random(examples) < skill, labels, random.integers(0, 3, examples))
    return TestSet(["a", "b", "c"], labels, {}, {name: np.eye(3)[said] for name, said in answers.items()})


@pytest.mark.parametrize(
    ("skills", "failed"),
    [
        ({CANDIDATE: 0.9, "logistic_regression": 0.8}, []),
        # No better than a linear model, and not shown to be worse.
        ({CANDIDATE: 0.8, "logistic_regression": 0.8}, []),
        ({CANDIDATE: 0.5, "logistic_regression": 0.9}, ["logistic regression"]),
        # As good as the majority is not better beyond noise.
        ({CANDIDATE: 0.25, "logistic_regression": 0.9}, ["majority", "logistic regression"]),
        # A champion takes the place of the baselines, and 0.01 below it must be ruled out.
        ({CANDIDATE: 0.25, CHAMPION: 0.2, "logistic_regression": 0.9}, ["champion"]),
        ({CANDIDATE: 0.95, CHAMPION: 0.5, "logistic_regression": 0.99}, []),
    ],
)
def test_without_gates_of_its_own_a_first_model_is_held_against_baselines_and_a_later_one_against_the_champion(
    skills, failed
):
    gates = gates_of(SINGLE_LABEL, EvaluationConfig())
    results = judge_all(gates, first_model(skills), Tfma(None, False), [])
    assert [result.reference_name for result in results if not result.passed] == failed
    judged = {result.name.split()[2] for result in results if result.judged}
    assert judged == ({"champion"} if CHAMPION in skills else {"majority", "logistic"})


def test_several_labels_have_the_same_default_gates_by_micro_f1():
    random = np.random.default_rng(8)
    labels = random.random((150, 3)) < [0.6, 0.3, 0.2]
    said = {name: labels ^ (random.random(labels.shape) < 0.1) for name in (CANDIDATE, "logistic_regression")}
    said["majority"] = np.tile([True, False, False], (150, 1))
    test_set = TestSet(["a", "b", "c"], labels, {}, {k: v.astype(float) for k, v in said.items()}, said, MULTI_LABEL)
    results = judge_all(gates_of(MULTI_LABEL, EvaluationConfig()), test_set, Tfma(None, False), [])
    assert [(result.metric, result.judged, result.passed) for result in results] == [
        ("micro_f1", True, True),
        ("micro_f1", True, True),
        ("micro_f1", False, True),
    ]
    assert results[0].power.smallest > 0

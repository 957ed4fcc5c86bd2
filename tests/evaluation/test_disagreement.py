"""Where candidate and champion differ: planted slices are found, and equal models seldom raise an alarm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from threadpoolctl import threadpool_limits

from evaluation.disagreement import LEVEL, clusters, contrast, examples_to_show, holm
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from transforms.features import GROUP

CLASSES = ["daisy", "rose", "tulip"]


def duel(random: np.random.Generator, weak: str = "", examples: int = 400) -> TestSet:
    """Two models of the same skill, whose noise is their own; the candidate is poor at what `weak` names."""
    labels = random.integers(0, 3, examples)
    sites = random.choice(["meadow", "shop"], examples)
    # A kind of daisies that no column tells of, and that both models take for half a tulip.
    pale = (labels == 0) & (random.random(examples) < 0.4)
    answers = {}
    for name in (CANDIDATE, CHAMPION):
        scores = random.normal(size=(examples, 3))
        scores[np.arange(examples), labels] += 2.5
        scores[pale, 2] += 2.0
        if name == CANDIDATE:
            poor = {"site": sites == "shop", "class": labels == 1, "hidden": pale, "": np.zeros(examples, bool)}[weak]
            scores[poor, labels[poor]] -= 2.0
        odds = np.exp(scores)
        answers[name] = odds / odds.sum(axis=1, keepdims=True)
    return TestSet(CLASSES, labels, {"site": sites}, answers)


@pytest.mark.parametrize(
    ("weak", "kind", "name"),
    [("site", "column", "site shop"), ("class", "class", "class rose"), ("hidden", "cluster", "")],
)
def test_a_planted_slice_where_the_candidate_is_worse_is_found(weak, kind, name):
    found = [contrast(duel(np.random.default_rng(seed), weak)).summary() for seed in range(10)]
    hits = [any(part.is_worse and part.kind == kind and name in part.name for part in one.slices) for one in found]
    assert sum(hits) >= 8


def alarms(draws: int) -> list[bool]:
    duels = (duel(np.random.default_rng(1000 + seed)) for seed in range(draws))
    # Of so few examples, threads that wait for each other take ten times as long.
    with threadpool_limits(1):
        return [any(part.is_worse for part in contrast(each).summary().slices) for each in duels]


def test_equal_models_raise_no_more_alarms_than_the_level_allows():
    # Four standard errors of a share of LEVEL in as many draws.
    assert np.mean(alarms(100)) <= LEVEL + 4 * math.sqrt(LEVEL * (1 - LEVEL) / 100)


def test_clusters_of_the_candidates_answers_alone_would_raise_false_alarms(monkeypatch):
    monkeypatch.setattr("evaluation.disagreement.seen_alike", lambda test_set: test_set.probabilities[CANDIDATE])
    assert np.mean(alarms(60)) > 2 * LEVEL


def test_counts_are_those_of_the_models_accuracies():
    test_set = duel(np.random.default_rng(0), "site")
    found = contrast(test_set).summary()
    said = {name: test_set.of(name).predicted for name in (CANDIDATE, CHAMPION)}
    scores = {name: accuracy_score(test_set.labels, each, normalize=False) for name, each in said.items()}
    assert found.better - found.worse == scores[CANDIDATE] - scores[CHAMPION]
    assert sum(part.examples for part in found.slices if part.kind == "cluster") == found.examples == 400
    assert [part.chance for part in found.slices] == sorted(part.chance for part in found.slices)


def test_examples_of_one_group_speak_once():
    """Eight photographs of each of nine plants: the candidate errs on all of two, which prove little."""
    labels, plants = np.arange(72) % 2, np.repeat(np.arange(9), 8).astype(str)
    right = np.eye(2)[labels]
    answers = {CANDIDATE: np.where((plants < "2")[:, np.newaxis], 1 - right, right), CHAMPION: right}
    alone = contrast(TestSet(["a", "b"], labels, {}, answers)).summary()
    assert any(part.is_worse for part in alone.slices)
    grouped = contrast(TestSet(["a", "b"], labels, {GROUP: plants}, answers)).summary()
    assert not any(part.is_worse for part in grouped.slices)
    assert not any(part.name.startswith(GROUP) for part in grouped.slices)


def test_holm_is_that_of_the_textbook():
    # Of 4 tests: 4 x 0.01, 3 x 0.019, then 2 x 0.02, but no less than the one before; and never above 1.
    assert holm(np.array([0.02, 0.01, 0.019, 0.9])) == pytest.approx([0.057, 0.04, 0.057, 0.9])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([])).tolist() == []


def test_examples_are_shown_once_the_surest_mistakes_of_the_worst_slices_first():
    test_set = duel(np.random.default_rng(0), "class")
    found = contrast(test_set)
    sure = test_set.of(CANDIDATE).probabilities.max(axis=1)
    shown = examples_to_show(found, sure)
    numbers = [number for number, _ in shown]
    assert len(set(numbers)) == len(numbers)
    in_roses = [number for number, name in shown if name == "class rose"]
    assert len(in_roses) == 5
    assert all(test_set.labels[number] == 1 and found.gain[number] < 0 for number in in_roses)
    elsewhere = [number for number, name in shown if not name]
    assert sum(found.gain[number] > 0 for number in elsewhere) == 10
    assert all(found.gain[number] for number in numbers)


def test_without_a_champion_there_is_nothing_to_differ_from():
    test_set = duel(np.random.default_rng(0))
    alone = TestSet(CLASSES, test_set.labels, {}, {CANDIDATE: test_set.probabilities[CANDIDATE]})
    assert contrast(alone) is None


@pytest.mark.parametrize("examples", [1, 20])
def test_few_examples_are_one_cluster_and_the_same_model_never_differs(examples):
    labels = np.arange(examples) % 3
    answers = np.eye(3)[labels]
    found = contrast(TestSet(CLASSES, labels, {}, {CANDIDATE: answers, CHAMPION: answers}))
    assert clusters(answers).tolist() == [0] * examples
    assert examples_to_show(found, np.ones(examples)) == []
    assert not any(part.is_worse for part in found.summary().slices)


def test_of_several_labels_an_example_speaks_for_whoever_has_more_of_them_right():
    labels = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    said = {CANDIDATE: np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], bool)}
    said[CHAMPION] = np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
    probabilities = {name: each.astype(float) for name, each in said.items()}
    found = contrast(TestSet(["a", "b", "c"], labels, {}, probabilities, said, "multi_label"))
    assert found.gain.tolist() == [2, 0, -1]
    assert [part.examples for part, _ in found.slices if part.name == "class a"] == [1]

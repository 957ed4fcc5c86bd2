"""What choosing the best of many adds to its score, and how much a key explains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.metrics import METRICS
from evaluation.predictions import SingleLabel
from evaluation.selection import best_of, select
from evaluation.sensitivity import main_effect

EXAMPLES, CLASSES = 150, 3


def guesses(skill: float, seed: int, examples: int = EXAMPLES) -> SingleLabel:
    """Predictions that are right with a probability of `skill`, and else say another class at random."""
    labels = np.arange(examples) % CLASSES
    random = np.random.default_rng(seed)
    said = np.where(random.random(examples) < skill, labels, (labels + random.integers(1, CLASSES, examples)) % CLASSES)
    return SingleLabel(labels, 0.1 + 0.7 * np.eye(CLASSES)[said])


def test_the_best_of_equal_models_is_brought_back_to_what_each_is_worth():
    accuracy = METRICS["accuracy"]
    best, nested = [], []
    for repeat in range(10):
        trials = [guesses(0.6, 1000 * repeat + number) for number in range(40)]
        found = select(accuracy, trials, EXAMPLES, seed=repeat)
        best.append(found.score)
        nested.append(found.nested)
    # The best of 40 stands two standard errors (0.04 each) above what all of them are worth.
    assert np.mean(best) > 0.66
    assert np.mean(nested) == pytest.approx(0.6, abs=0.02)


def test_the_nested_estimate_of_one_trial_is_its_own_score():
    found = select(METRICS["accuracy"], [guesses(0.7, 1)], EXAMPLES, seed=1)
    assert found.nested == pytest.approx(found.score, abs=0.01)
    assert found.chance < 0.01


def test_what_is_better_by_far_loses_nothing_by_being_chosen():
    trials = [guesses(0.3, number) for number in range(20)] + [guesses(0.95, 99)]
    found = select(METRICS["accuracy"], trials, EXAMPLES, seed=1)
    assert found.best == 20
    assert found.nested == pytest.approx(found.score, abs=0.01)


def test_the_lowest_loss_is_the_best():
    found = select(METRICS["loss"], [guesses(0.5, 1), guesses(0.9, 2), guesses(0.7, 3)], EXAMPLES, seed=1)
    assert found.best == 1
    assert found.nested >= found.score - 0.02
    assert found.chance >= 0


def test_a_single_example_has_nothing_outside_of_a_sample():
    found = select(METRICS["accuracy"], [guesses(1.0, 1, 1), guesses(1.0, 2, 1)], 1, seed=1)
    assert (found.best, found.score) == (0, 1.0)
    assert math.isnan(found.nested)


def test_what_is_undefined_is_never_the_best():
    assert best_of(METRICS["accuracy"], [math.nan, 0.2, 0.4, math.nan]) == 2
    assert best_of(METRICS["loss"], [math.nan, 0.2, 0.4]) == 1
    assert best_of(METRICS["accuracy"], [math.nan]) == 0


def test_a_key_that_decides_explains_much_and_one_that_does_not_explains_nothing():
    random = np.random.default_rng(1)
    rates, others = random.random(100), random.random(100)
    scores = (rates - 0.5) ** 2 + 0.01 * random.normal(size=100)
    assert main_effect(rates, scores, ordered=True) > 0.7
    assert main_effect(others, scores, ordered=True) < 0.1


def test_choices_are_compared_as_groups():
    kinds = ["adam", "sgd"] * 10
    assert main_effect(kinds, [1.0, 2.0] * 10, ordered=False) == 1.0
    assert main_effect(kinds, [1.0, 2.0, 2.0, 1.0] * 5, ordered=False) == 0.0


def test_one_outlier_does_not_hide_the_others():
    rates = np.arange(20.0)
    scores = [*range(19), 1e9]
    assert main_effect(rates, scores, ordered=True) > 0.8


@pytest.mark.parametrize(
    ("values", "scores"), [([1.0, 2.0], [1.0, 2.0]), ([1.0] * 20, range(20)), (range(20), [0.5] * 20), ([], [])]
)
def test_what_cannot_be_told_is_none(values, scores):
    assert main_effect(list(values), list(scores), ordered=True) is None

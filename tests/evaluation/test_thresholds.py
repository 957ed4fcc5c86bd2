"""Thresholds per label: against scikit-learn's F1 at every threshold there is, and what is stated of ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_curve

from evaluation.checks import decisions_go_with_task
from evaluation.thresholds import best_thresholds, two_class_decision
from finetune.config.evaluation import EvaluationConfig, ThresholdConfig
from finetune.errors import DataError


def f1_at(labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return f1_score(labels, probabilities >= thresholds, average=None, zero_division=0.0)


@pytest.mark.parametrize("decimals", [1, 6])
def test_no_other_threshold_gives_a_label_a_larger_f1(decimals):
    random = np.random.default_rng(3)
    labels = random.random((80, 6)) < np.linspace(0.05, 0.9, 6)
    probabilities = np.clip(0.4 * labels + random.random((80, 6)) * 0.6, 0, 1).round(decimals).astype(np.float32)
    found = best_thresholds(labels, probabilities)
    assert (found.dtype, found.shape) == (np.float32, (6,))
    reached = f1_at(labels, probabilities, found)
    for threshold in np.unique(np.append(probabilities, [0.0, 0.5, 1.0])):
        others = f1_at(labels, probabilities, np.full(6, threshold, np.float32))
        assert (reached >= others - 1e-12).all(), threshold


def test_a_threshold_lies_half_way_between_the_examples_it_parts():
    found = best_thresholds(np.array([[1], [1], [0]]), np.array([[0.9], [0.8], [0.4]]))
    assert found == pytest.approx(0.6)


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    # At 0.85 one of two positives and nothing else: 2/3. At 0.15 both and two negatives: 2/3 as well.
    probabilities = np.array([[0.9], [0.8], [0.7], [0.3]])
    assert best_thresholds(np.array([[1], [0], [0], [1]]), probabilities) == pytest.approx(0.15)


def test_a_label_that_all_examples_have_is_always_predicted_and_one_that_none_has_waits_for_a_half():
    labels = np.array([[1, 0], [1, 0], [1, 0]])
    probabilities = np.array([[0.2, 0.7], [0.4, 0.1], [0.9, 0.2]])
    assert best_thresholds(labels, probabilities) == pytest.approx([0.1, 0.5])


def test_a_threshold_parts_neighbours_among_the_float32():
    below = np.float32(0.7)
    probabilities = np.array([[np.nextafter(below, np.float32(1))], [below]])
    found = best_thresholds(np.array([[1], [0]]), probabilities)
    assert (probabilities >= found).tolist() == [[True], [False]]


def test_probabilities_that_are_none_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        best_thresholds(np.ones((2, 1)), np.array([[0.5], [np.nan]]))
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(2, 2\)"):
        best_thresholds(np.ones((2, 1)), np.ones((2, 2)))


NAMES = ["ham", "spam"]


def two_classes(seed: int = 5, examples: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(examples) < 0.3).astype(int)
    scores = (1 / (1 + np.exp(1 - random.normal(2 * labels)))).round(2).astype(np.float32)
    return labels, np.stack([1 - scores, scores], axis=1)


def chosen(labels, probabilities, costs=None, of_class="spam", **wanted) -> tuple[float, np.ndarray]:
    """The threshold of the class, and bool [examples], which are said to be of it."""
    found = two_class_decision(ThresholdConfig(of_class=of_class, **wanted), costs or {}, NAMES, labels, probabilities)
    column = NAMES.index(of_class)
    assert found["threshold_of"] == of_class
    assert sum(found["thresholds"]) == pytest.approx(1)
    threshold = np.float32(found["thresholds"][column])
    return float(threshold), probabilities[:, column] >= threshold


@pytest.mark.parametrize("at", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("of_class", NAMES)
def test_the_threshold_that_holds_a_specificity_is_a_point_of_scikit_learns_curve(at, of_class):
    labels, probabilities = two_classes()
    column = NAMES.index(of_class)
    actual = labels == column
    false_alarms, hits, _ = roc_curve(actual, probabilities[:, column], drop_intermediate=False)
    _, said = chosen(labels, probabilities, of_class=of_class, metric="sensitivity_at_specificity", at=at)
    assert said[actual].mean() == pytest.approx(hits[1 - false_alarms >= at - 1e-9].max())
    assert 1 - said[~actual].mean() >= at - 1e-9
    _, said = chosen(labels, probabilities, of_class=of_class, metric="specificity_at_sensitivity", at=at)
    assert 1 - said[~actual].mean() == pytest.approx((1 - false_alarms)[hits >= at - 1e-9].max())
    assert said[actual].mean() >= at - 1e-9


def test_the_threshold_by_f1_is_that_of_several_labels():
    labels, probabilities = two_classes()
    threshold, _ = chosen(labels, probabilities, metric="f1")
    assert threshold == pytest.approx(best_thresholds(labels[:, np.newaxis] == 1, probabilities[:, 1:])[0])


@pytest.mark.parametrize("miss", [0.1, 1.0, 30.0])
def test_no_other_threshold_costs_less_and_dear_misses_lower_it(miss):
    labels, probabilities = two_classes()
    costs = {"spam": {"ham": miss}}
    threshold, said = chosen(labels, probabilities, costs, metric="expected_cost")

    def cost(said: np.ndarray) -> float:
        return miss * (~said & (labels == 1)).sum() + (said & (labels == 0)).sum()

    others = [probabilities[:, 1] >= other for other in np.linspace(0, 1.01, 500, dtype=np.float32)]
    assert cost(said) <= min(map(cost, others)) + 1e-9
    even, _ = chosen(labels, probabilities, {"spam": {"ham": 1.0}}, metric="expected_cost")
    assert (threshold > even, threshold < even) == (miss < 1, miss > 1)


def test_what_can_hold_nothing_says_nothing():
    labels = np.array([0, 1, 0, 1])
    scores = np.array([1.0, 1.0, 1.0, 0.2], np.float32)
    _, said = chosen(labels, np.stack([1 - scores, scores], axis=1), metric="sensitivity_at_specificity", at=0.9)
    assert not said.any()


@pytest.mark.parametrize(
    ("names", "labels", "of_class", "says"),
    [
        (["a", "b", "c"], [0, 1], "a", "got data of 3 classes, a, b, c; expected two"),
        (NAMES, [0, 1], "spma", "got 'spma'; the classes are ham, spam. Did you mean 'spam'"),
        (NAMES, [0, 0], "spam", "the validation split has no spam"),
        (NAMES, [1, 1], "spam", "the validation split has no ham"),
    ],
)
def test_a_threshold_that_cannot_be_chosen_says_why(names, labels, of_class, says):
    with pytest.raises(DataError, match=says):
        two_class_decision(
            ThresholdConfig(of_class=of_class, metric="f1"), {}, names, np.array(labels), np.full((2, len(names)), 0.5)
        )


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"metric": "sensitivity_at_specificity"}, "expected what is held"),
        ({"metric": "f1", "at": 0.9}, "expected none beside f1"),
        ({"metric": "expected_cost"}, "expected what mistakes cost"),
    ],
)
def test_a_rule_that_says_too_much_or_too_little(raw, says):
    with pytest.raises(ValueError, match=says):
        EvaluationConfig(threshold={"of_class": "spam", **raw})


def test_several_labels_have_thresholds_already():
    raw = {
        "task": "multi_label",
        "evaluation": {"threshold": {"of_class": "a", "metric": "f1"}, "costs": {"a": {"b": 2}}},
    }
    threshold, costs = decisions_go_with_task(raw)
    assert threshold.startswith("evaluation.threshold: got")
    assert costs.startswith("evaluation.costs: got")
    assert decisions_go_with_task({**raw, "task": "single_label"}) == []

"""Gates that a test split of given sizes cannot decide, told from the sizes alone."""

from __future__ import annotations

import pytest

from evaluation.foresight import Sizes, foresee, will_show
from evaluation.intervals import wilson
from evaluation.tasks import gates_of
from finetune.config.evaluation import EvaluationConfig, GateConfig

TRAIN = Sizes(300, {"a": 200, "b": 60, "c": 40})


def sizes(*counts: int) -> Sizes:
    return Sizes(sum(counts), dict(zip("abc", counts, strict=False)))


def said(gate: dict, test: Sizes, task: str = "single_label") -> str:
    return "\n".join(foresee([GateConfig(**gate)], task, test, TRAIN))


PASS, FAIL = "no candidate could pass", "no candidate could fail"


@pytest.mark.parametrize(
    ("gate", "test", "expected"),
    [
        ({"metric": "accuracy", "min": 0.9, "confidence": 0.95}, sizes(10, 10, 10), PASS),
        ({"metric": "accuracy", "min": 0.9, "confidence": 0.95}, sizes(30, 30, 30), ""),
        ({"metric": "accuracy", "min": 0.3, "confidence": 0.95, "refuse_when": "disproven"}, sizes(2, 2), FAIL),
        ({"metric": "accuracy", "min": 0.3, "confidence": 0.95, "refuse_when": "disproven"}, sizes(20, 20), ""),
        ({"metric": "accuracy", "min": 0.0}, sizes(50, 50), FAIL),
        ({"metric": "accuracy", "min": 1.1}, sizes(50, 50), PASS),
        ({"metric": "accuracy", "min": 0.8}, sizes(50, 50), ""),
        ({"metric": "accuracy", "min": -1, "relative_to": "champion"}, sizes(50, 50), FAIL),
        ({"metric": "accuracy", "min": -0.5, "relative_to": "champion", "confidence": 0.95}, sizes(1, 1), FAIL),
        ({"metric": "accuracy", "min": -0.01, "relative_to": "champion", "confidence": 0.95}, sizes(40, 40), ""),
        # The majority is known before: a test split that has hardly anything else leaves little to win.
        ({"metric": "accuracy", "min": 0.1, "relative_to": "majority"}, sizes(95, 5), PASS),
        ({"metric": "accuracy", "min": 0.1, "relative_to": "baseline"}, sizes(95, 5), PASS),
        ({"metric": "accuracy", "min": 0.1, "relative_to": "majority"}, sizes(60, 40), ""),
        ({"metric": "recall", "of_class": "b", "min": 0.7, "confidence": 0.95}, sizes(200, 5), PASS),
        ({"metric": "recall", "of_class": "b", "min": 0.7, "confidence": 0.95}, sizes(200, 20), ""),
        ({"metric": "macro_f1", "min": 0.9, "confidence": 0.95}, sizes(8, 8), PASS),
        ({"metric": "ece", "max": 0.1}, sizes(50, 50), ""),
        ({"metric": "size_mb", "max": 0.1}, sizes(50, 50), ""),
        ({"metric": "image_to_text_recall_at_1", "min": 0, "relative_to": "majority"}, sizes(50, 50), ""),
        ({"metric": "text_to_image_recall_at_5", "min": 0.9, "confidence": 0.95}, sizes(10, 10), PASS),
        ({"metric": "accuracy", "min": 1.1, "slice": {"site": "north"}}, sizes(50, 50), ""),
        ({"metric": "accuracy", "min": 0.9, "min_examples": 500}, sizes(50, 50), FAIL),
    ],
)
def test_what_cannot_pass_or_fail_is_said(gate, test, expected):
    found = said(gate, test)
    assert expected in found if expected else not found, found


def test_what_is_said_is_what_the_gate_does():
    """At the number of examples from which on it is silent, a perfect candidate passes; at one less it does not."""
    gate = GateConfig(metric="accuracy", min=0.9, confidence=0.95)
    few = next(n for n in range(4, 200, 2) if not said(gate.model_dump(exclude_unset=True), sizes(n // 2, n // 2)))
    assert wilson(few, few, 0.95).low >= 0.9 > wilson(few - 2, few - 2, 0.95).low


def test_gates_of_one_star_are_told_in_one_sentence_with_their_sizes():
    gate = {"metric": "recall", "of_class": "*", "min": 0.8, "confidence": 0.95}
    (sentence,) = foresee([GateConfig(**gate)], "single_label", sizes(100, 6, 4), TRAIN)
    assert sentence == ("recall of * >= 0.8 at 95 %: no candidate could pass on 110 test examples, 6 of b, 4 of c.")


def test_default_gates_of_a_fair_split_are_decidable_and_of_a_tiny_one_not():
    gates = gates_of("single_label", EvaluationConfig())
    assert foresee(gates, "single_label", sizes(50, 50, 50), TRAIN) == []
    assert any(PASS in sentence for sentence in foresee(gates, "single_label", sizes(2, 1, 1), TRAIN))
    assert foresee(gates, "single_label", sizes(0), TRAIN) == []


def test_what_a_share_will_show_is_known_before():
    champion = GateConfig(metric="accuracy", min=-0.01, relative_to="champion", confidence=0.95)
    shown = [will_show(champion, Sizes(count, {"a": count})) for count in (50, 150, 2000)]
    assert shown == sorted(shown, reverse=True)
    # The normal approximation, with a tenth of the examples apart.
    assert shown[-1] == pytest.approx((1.96 + 0.84) * (0.1 / 2000) ** 0.5, rel=0.1)
    recall = GateConfig(metric="recall", of_class="b", min=0.7, confidence=0.95)
    assert will_show(recall, sizes(100, 30)) > will_show(recall, sizes(100, 60)) > 0
    macro = GateConfig(metric="macro_f1", min=0.7, confidence=0.95)
    assert will_show(macro, sizes(100, 30)) is None, "it takes predictions to tell"


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"metric": "exact_match", "min": 0.9, "confidence": 0.95}, PASS),
        ({"metric": "micro_f1", "min": 0.9, "confidence": 0.95}, PASS),
        ({"metric": "micro_f1", "min": 0.5}, ""),
        ({"metric": "f1", "of_class": "c", "min": 0}, FAIL),
    ],
)
def test_several_labels_an_example_are_told_alike(gate, expected):
    found = said(gate, Sizes(20, {"a": 15, "b": 10, "c": 2}), "multi_label")
    assert expected in found if expected else not found, found

"""How looks at the same test examples are counted, and what each may risk."""

from __future__ import annotations

import hashlib
import math

import pytest

from evaluation.reuse import Look, at_look, is_bounded, number_of, reuse_of, share_of_risk
from finetune.artifacts.test_sketch import TestSketch
from finetune.config.evaluation import GateConfig

PROVES = GateConfig(metric="accuracy", min=0, relative_to="champion", confidence=0.95, refuse_when="unproven")


def sketch(*numbers: int) -> TestSketch:
    return TestSketch.of(hashlib.sha256(str(number).encode()).hexdigest() for number in numbers)


SPLIT = sketch(*range(100))


def look(model: str, champion: str = "champion", test: TestSketch = SPLIT) -> Look:
    return Look(model, champion, test)


@pytest.mark.parametrize(
    ("now", "before", "share"),
    [
        (range(100), range(100), 1.0),
        (range(100), range(50, 150), 0.5),
        (range(100), range(100, 200), 0.0),
        # Sketches hold only some of these: the share is estimated.
        (range(4000), range(1000, 6000), 0.75),
        (range(6000), range(3000), 0.5),
        (range(3000), range(6000), 1.0),
    ],
)
def test_a_sketch_tells_what_share_of_the_examples_was_there_before(now, before, share):
    found = sketch(*now).share_in(sketch(*before))
    # Four standard errors of the similarity of 256 of them, which a share at worst doubles.
    assert found == pytest.approx(share, abs=1e-9 if len(now) < 200 else 8 * math.sqrt(0.25 / 256))
    assert TestSketch.from_text(sketch(*now).to_text()) == sketch(*now)


def test_an_empty_test_split_shares_nothing():
    assert sketch().share_in(SPLIT) == SPLIT.share_in(sketch()) == 0.0
    assert TestSketch.from_text(sketch().to_text()) == sketch()


def test_each_candidate_is_one_look_however_often_it_is_judged():
    earlier = [look("a"), look("b"), look("a"), look("b")]
    assert number_of(look("c"), earlier) == 3
    assert [number_of(look(model), earlier) for model in "ab"] == [1, 2]


def test_the_same_model_beside_another_champion_is_another_look():
    assert number_of(look("a", "second"), [look("a", "first"), look("b", "first")]) == 3


def test_looks_at_other_examples_do_not_count():
    earlier = [look("a", test=sketch(*range(60, 160))), look("b", test=sketch(*range(40, 140)))]
    assert number_of(look("c"), earlier) == 2, "of today's examples b saw 60, and a 40"


def test_all_shares_add_up_to_the_risk():
    spent = sum(share_of_risk(0.05, each) for each in range(1, 100_000))
    assert 0.0499 < spent < 0.05


def test_only_a_gate_that_proves_something_beside_the_champion_is_held_higher():
    reuse = reuse_of([PROVES], look("c"), [look("a"), look("b")], 0.05)
    assert reuse.look == 3
    assert at_look(PROVES, reuse).confidence == pytest.approx(1 - 2 * 0.05 * 6 / (math.pi * 3) ** 2)
    for other in (
        PROVES.model_copy(update={"refuse_when": "disproven"}),
        PROVES.model_copy(update={"confidence": None, "refuse_when": None}),
        PROVES.model_copy(update={"relative_to": "majority"}),
        PROVES.model_copy(update={"metric": "size_mb"}),
    ):
        assert not is_bounded(other)
        assert at_look(other, reuse) == other
    assert at_look(PROVES, None) == PROVES


def test_the_first_look_may_take_no_more_than_the_gate_itself():
    reuse = reuse_of([PROVES], look("a"), [], 0.05)
    assert (reuse.level, reuse.more_labels, reuse.used_up) == (pytest.approx(0.025), 0, False)
    assert at_look(PROVES, reuse) == PROVES


def test_a_test_split_is_used_up_when_a_new_one_is_cheaper():
    found = [reuse_of([PROVES], look("z"), [look(str(each)) for each in range(before)], 0.05) for before in range(12)]
    labels = [one.more_labels for one in found]
    assert labels == sorted(labels)
    assert [one.used_up for one in found] == [each >= 100 for each in labels]
    assert not found[0].used_up
    assert found[-1].used_up


def test_looks_are_counted_where_nothing_is_bounded_and_not_where_nothing_is_compared():
    point = GateConfig(metric="accuracy", min=-0.01, relative_to="champion")
    for gates, risk in (([point], 0.05), ([PROVES], None)):
        reuse = reuse_of(gates, look("b"), [look("a")], risk)
        assert (reuse.look, reuse.level, reuse.used_up) == (2, None, False)
    assert reuse_of([GateConfig(metric="accuracy", min=0.8)], look("b"), [look("a")], 0.05) is None

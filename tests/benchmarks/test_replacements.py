"""What counts as a bad promotion and as a missed candidate, and what rules see of a simulated year."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks.replacements import RULES, Recorded, Training, all_pass, as_good, figures_of, promoted
from benchmarks.year_drift import Decisions
from finetune.artifacts.retrain_decision import DRIFT

TESTED = 60


def training(kind: str, fixed: list[int], tested: list[int]) -> Training:
    """All models of two classes up to one: how many each gets right of 200 pictures, and of the test examples."""

    def answers(right: int) -> np.ndarray:
        return np.eye(2)[(np.arange(TESTED) >= right).astype(int)]

    return Training(
        kind=kind,
        pictures=np.arange(TESTED),
        changes=np.full(TESTED, ""),
        labels=np.zeros(TESTED, int),
        spans=np.repeat([0, 1], TESTED // 2),
        ordinary=np.arange(TESTED) < 20,
        in_test=np.ones(TESTED, bool),
        held_out=np.full((TESTED, 2), np.nan),
        answers=[answers(each) for each in tested],
        learned=[np.zeros(TESTED, bool) for _ in tested],
        fixed=[np.arange(200) < each for each in fixed],
    )


def year() -> list[Training]:
    """A better candidate that shows it, a worse one that does not show it, and one that shows nothing."""
    return [
        training("start", [100], [20]),
        training("dark", [100, 120], [20, 50]),
        training("blurred", [100, 120, 110], [20, 50, 50]),
        training("new class", [100, 120, 110, 125], [20, 50, 50, 40]),
    ]


def test_promotions_are_bad_by_the_pictures_that_no_rule_sees():
    always = figures_of([year()], all_pass)
    assert (always["promotions"], always["bad"], always["better"], always["missed"]) == (3, 1, 2, 0)
    careful = figures_of([year(), year()], as_good)
    assert (careful["promotions"], careful["bad"], careful["years with a bad one"]) == (4, 2, 2)
    assert (careful["better"], careful["missed"]) == (4, 2)
    proven = figures_of([year()], RULES["shown to be at most a point worse, 90%"])
    assert (proven["promotions"], proven["bad"], proven["missed"]) == (1, 0, 1)


def test_after_a_rollback_the_champion_is_the_one_before():
    weeks = [*year()[:2], training("wrong labels", [100, 120, 110], [20, 50, 50])]
    assert [gain for gain, _ in promoted(weeks, all_pass)] == pytest.approx([0.1, 0.05])


def test_what_the_champion_learned_from_is_no_evidence():
    one = year()[1]
    one.learned[0][:50] = True
    look = one.look(champion=0, number=1)
    assert (len(look.test.labels), len(look.held_out.labels)) == (10, 10)
    assert len(look.ordinary.labels) == 0, "all of the weeks without a fault was learned from"
    assert len(year()[1].look(0, 1).ordinary.labels) == 20
    assert len(look.remembered.labels) == 0, "the first span was learned from"
    assert len(year()[1].look(0, 1).remembered.labels) == 0, "it has learned no class"


def test_decisions_find_the_span_whose_pictures_differ_until_a_champion_was_made_with_it():
    """Of 60 examples the last 30 are a span of another kind, which came with the second training."""
    random = np.random.default_rng(0)
    features = {change: random.normal(size=(1, TESTED, 6)) + apart for change, apart in (("", 0), ("dark", 3))}
    weeks = year()[:3]
    first = {name: getattr(weeks[0], name)[:30] for name in ("pictures", "changes", "labels", "spans", "in_test")}
    weeks[0] = replace(weeks[0], **first, answers=[weeks[0].answers[0][:30]])
    for number in (1, 2):
        weeks[number] = replace(weeks[number], changes=np.repeat(["", "dark"], 30))
    decisions = Decisions(Recorded(features, np.zeros(TESTED, int)), weeks)
    assert decisions.drifted((0,), frozenset({DRIFT})) == {1}
    assert decisions.drifted((0, 1), frozenset({DRIFT})) == {1}, "named when it came, it stays so"
    assert decisions.drifted((0,), frozenset({"labels"})) == frozenset()
    drifted = decisions.drifted
    told = weeks[1].look(0, 1, lambda reasons: drifted((0,), reasons)).told
    assert (len(told(frozenset({DRIFT})).labels), len(told(frozenset()).labels)) == (30, TESTED)

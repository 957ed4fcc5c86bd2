"""Candidates that are no better, on one test set: the rules of `benchmarks.promotions`, fewer projects."""

from __future__ import annotations

import math

import pytest

from benchmarks.promotions import EXAMPLES, LOOKS, RISK, RULES, false_promotions, found_at

PROJECTS = 1500


@pytest.mark.parametrize("examples", [200, EXAMPLES])
def test_a_hundred_looks_take_no_more_than_the_risk_and_the_naive_rules_far_more(examples):
    false = {
        name: (false_promotions(rule, LOOKS, PROJECTS, examples, seed=4) > 0).mean() for name, rule in RULES.items()
    }
    # Four standard errors of a share of as many projects.
    assert false["spent"] <= RISK + 4 * math.sqrt(RISK * (1 - RISK) / PROJECTS)
    assert false["spent"] < 0.2 * false["each at 95 %"] < 0.2 * false["larger"]


def test_the_first_look_shows_what_a_single_one_would():
    first = {name: found_at(RULES[name], 1, 0.03, 4000, EXAMPLES, seed=5) for name in ("spent", "each at 95 %")}
    assert first["spent"] == first["each at 95 %"] > 0.8
    assert found_at(RULES["spent"], 10, 0.03, 4000, EXAMPLES, seed=5) < first["spent"]

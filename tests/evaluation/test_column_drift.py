"""Columns that have changed are named, others are not more often than the level allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from evaluation.column_drift import column_drifts

LEVEL = 0.05


def counts(random: np.random.Generator, examples: int, **shares: list[float]) -> dict[str, dict[str, int]]:
    drawn = {name: random.multinomial(examples, share) for name, share in shares.items()}
    return {name: {f"v{place}": int(count) for place, count in enumerate(each)} for name, each in drawn.items()}


def test_columns_that_have_not_changed_are_seldom_said_to_have() -> None:
    random = np.random.default_rng(1)
    shares = {"label": [0.5, 0.3, 0.2], "site": [0.01] * 100, "camera": [0.95, 0.05]}
    alarms = 0
    for seed in range(100):
        before, now = (counts(random, examples, **shares) for examples in (300, 90))
        alarms += any(each.differs for each in column_drifts(before, now, LEVEL, seed))
    assert alarms <= binom.ppf(0.99, 100, LEVEL)


def test_a_column_that_has_changed_is_named_first_with_the_value_that_tells() -> None:
    random = np.random.default_rng(2)
    before = counts(random, 500, label=[0.5, 0.5], site=[0.25] * 4)
    now = counts(random, 300, label=[0.5, 0.5], site=[0.55, 0.15, 0.15, 0.15])
    first, second = column_drifts(before, now, LEVEL)
    assert (first.column, first.value, first.differs, second.differs) == ("site", "v0", True, False)
    assert first.distance == pytest.approx(abs(now["site"]["v0"] / 300 - before["site"]["v0"] / 500))
    assert first.sentence.startswith("site: 'v0' went from ")


def test_a_value_that_is_new_or_gone_counts_as_one_with_a_share_of_nothing() -> None:
    new, *_ = column_drifts({"label": {"a": 200}}, {"label": {"a": 100, "b": 40}}, LEVEL)
    assert (new.value, new.before, new.differs) in {("a", 1.0, True), ("b", 0.0, True)}
    gone, *_ = column_drifts({"label": {"a": 100, "b": 80, "c": 80}}, {"label": {"a": 100, "b": 80}}, LEVEL)
    assert (gone.value, gone.now, gone.differs) == ("c", 0.0, True)


def test_what_one_of_both_does_not_have_is_not_compared() -> None:
    assert (
        column_drifts({"label": {"a": 2}, "site": {}, "old": {"x": 1}}, {"site": {"x": 1}, "new": {"x": 1}}, 0.1) == []
    )
    (label,) = column_drifts({"label": {"a": 2}}, {"label": {"a": 3}}, LEVEL)
    assert (label.distance, label.differs) == (0.0, False)


def test_many_columns_share_the_level() -> None:
    before, now = ({f"c{n}": {"a": 50 + k, "b": 50 - k} for n in range(200)} for k in (0, 5))
    assert not any(each.differs for each in column_drifts(before, now, 0.01))

"""Weeks of digits: after few quiet ones is trained, and after every one with a fault; the benchmark with fewer draws."""

from __future__ import annotations

import pytest

from benchmarks.retrain_weeks import FAULTS, POLICY, weeks

QUIET, FAULTY = 20, 3


def test_quiet_weeks_are_trained_after_as_seldom_as_the_level_says():
    # At the level, 4 or more of 20 have a probability of 0.3 %.
    assert POLICY.level <= 0.03
    assert weeks("quiet", QUIET, seed=1000)["trained"] < 4 / QUIET


@pytest.mark.parametrize("fault", [name for name in [*FAULTS, "one class"] if name != "quiet"])
def test_a_fault_is_seen_in_the_week_that_it_comes(fault):
    assert weeks(fault, FAULTY, seed=1000)["trained"] == 1

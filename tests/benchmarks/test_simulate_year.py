"""What the simulated year counts as right, and that no picture comes twice."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from benchmarks.recorded_year import KINDS as FAULTS
from benchmarks.recorded_year import Recorded, quiet_weeks, section
from benchmarks.simulate_year import PLAN, Pool, as_expected

TRAINED = {"decisions": 1, "killed": False, "action": "cold"}


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"kind": "quiet", **TRAINED, "action": "nothing to do", "decisive": ["new examples"]}, True),
        ({"kind": "quiet", **TRAINED, "decisive": ["new examples"]}, True),
        ({"kind": "quiet", **TRAINED, "decisive": ["labels"]}, False),
        ({"kind": "dark", **TRAINED, "decisive": ["frozen features", "labels"]}, True),
        ({"kind": "dark", **TRAINED, "decisive": ["labels"]}, False),
        ({"kind": "dark", **TRAINED, "decisions": 2, "decisive": ["frozen features"]}, False),
        ({"kind": "cut short", **TRAINED, "action": "stop: data", "decisive": ["data"]}, True),
        ({"kind": "cut short", **TRAINED, "decisive": ["new examples"]}, False),
        ({"kind": "copies", **TRAINED, "decisive": ["new examples"]}, False),
        ({"kind": "killed", **TRAINED, "decisive": ["frozen features"]}, False),
        ({"kind": "killed", **TRAINED, "killed": True, "decisive": ["frozen features"]}, True),
        ({"kind": "empty", "decisions": 0, "killed": False}, False),
        ({"kind": "after the new class", **TRAINED, "decisive": ["labels"]}, True),
        ({"kind": "after the new class", **TRAINED, "decisions": 0, "decisive": ["labels"]}, False),
    ],
)
def test_a_week_is_right_when_it_is_decided_on_once_and_for_its_own_reason(row, right):
    assert as_expected(row) is right


def test_no_picture_comes_twice_and_a_class_that_is_held_back_comes_as_often_as_others_later():
    pool = Pool([(str(number % 5), f"{number:03}", b"") for number in range(500)], held_back="4")
    first = pool.take(200)
    assert {label for label, _, _ in first} == {"0", "1", "2", "3"}
    pool.release()
    rest = pool.take(1000)
    assert not {one[1] for one in first} & {one[1] for one in rest}
    assert [sum(label == wanted for label, _, _ in rest) for wanted in "01234"] == [50] * 5


def test_quiet_weeks_of_noise_are_seldom_a_reason_to_train(monkeypatch):
    monkeypatch.setattr("benchmarks.recorded_year.QUIET_DRAWS", 10)
    random = np.random.default_rng(0)
    digits = random.integers(0, 3, 400)
    of = Recorded({"": random.normal(size=(400, 8)) + 5 * np.eye(3, 8)[digits]}, digits)
    quiet = quiet_weeks(of)
    assert quiet["needless"] <= 2
    weeks = [{"kind": kind, "because_of": ["frozen features"]} for kind in ("quiet", *FAULTS)]
    told = section(quiet, weeks)
    assert "| dark | 1 | 1 by frozen features | 1 |" in told
    assert "| wrong labels | 1 | 0 by champion on new examples | 1 |" in told


def test_every_week_that_is_put_right_follows_one_that_was_wrong():
    assert all(
        PLAN[place - 1] in ("cut short", "wrong labels") for place, kind in enumerate(PLAN) if kind == "put right"
    )

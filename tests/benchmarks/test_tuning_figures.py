"""The figures of searches, from what is done of the benchmark."""

from __future__ import annotations

from benchmarks.tuning import figures_of, page


def trained(seconds: float, accuracy: float) -> dict:
    return {"seconds": 2 * seconds, "processor_seconds": seconds, "accuracy": accuracy}


def searched(seconds: float) -> dict:
    trials = [
        {"number": 0, "score": 0.5, "values": {}},
        {"number": 1, "score": 0.4, "values": {"training.head.l2": 0.1}},
    ]
    tuning = {"trials": trials, "best": 1, "nested": 0.42}
    return {"seconds": 2 * seconds, "processor_seconds": seconds, "tuning": tuning, "best": {"values": {}}}


IMPORTS = {"search": 6.0, "run": 5.0}
COSTS = {"imports": IMPORTS, "head alone, search 1": searched(30.0), "head alone, run 0": trained(10.0, 0.8)}


def test_a_search_is_told_in_runs_of_the_trainer():
    text = page({"machine": "here", **figures_of({**COSTS, "head alone, run 1": trained(20.0, 0.8)})})
    assert "| head alone | 200 | 0 | processor | 30.0 | 15.0 (2) | 2.00 | 1.5 of 1 |" in text
    assert "| head alone | 200 | 0 | processor, with imports | 36.0 | 20.0 (2) | 1.80 | 1.5 of 1 |" in text
    assert "test accuracy" not in text, "no seed is done"


def test_what_is_not_done_is_left_out():
    assert figures_of({}) == {}
    assert list(figures_of(COSTS)) == ["head alone"]


def test_seeds_that_are_done_say_what_the_best_values_gain():
    seeds = {"head alone, default 1": trained(1, 0.80), "head alone, best 1": trained(1, 0.85)}
    found = figures_of({**COSTS, **seeds})
    assert found["head alone"]["quality"][0]["val_loss_best"] == 0.4
    assert "+5.0 (+5.0 to +5.0) points" in page({"machine": "here", **found})


def test_trials_that_ended_early_are_counted():
    trials = [{"number": 0, "state": "done"}, {"number": 1, "state": "stopped"}]
    search = {**searched(30.0), "tuning": {"trials": trials}}
    text = page({"machine": "here", **figures_of({**COSTS, "head alone, search 1": search})})
    assert "| head alone | 200 | 1 | processor | 30.0 |" in text

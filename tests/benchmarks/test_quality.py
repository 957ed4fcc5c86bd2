"""What the benchmark of fine-tuning shows of many splits, from figures made up."""

from __future__ import annotations

import pytest

from benchmarks.quality import page, paired

RUN = {"set": "flowers", "seconds": 9.6}


def test_paired_differences_come_with_an_interval_by_students_t():
    # By hand: mean 2, deviation 1, standard error 1/sqrt(3); Student's t of two degrees of freedom is 4.3027.
    assert paired([1.0, 2.0, 3.0]) == (
        "mean of 3 splits +2.0000, standard error 0.5774, 95 % interval -0.4841 to +4.4841"
    )


@pytest.mark.parametrize("begun", [False, True])
def test_a_set_shows_each_split_that_both_sides_have(begun):
    measured = {"probe": (0.5, 0.8, 0.9), "auto": (0.4, 0.85, 0.88)}
    runs = [
        {**RUN, "split": split, "side": side, "accuracy": accuracy, "loss": loss, "chosen": side}
        for side, (loss, *accuracies) in measured.items()
        for split, accuracy in enumerate(accuracies, start=1)
    ]
    if begun:
        runs.append({**runs[0], "split": 3})
    text = page({"machine": "a machine", "sets": runs})
    assert "| 1 | 0.8000 | 0.8500 | 0.0500 | 0.5000 | 0.4000 | auto | 10 |" in text
    assert "| 2 | 0.9000 | 0.8800 | -0.0200 | 0.5000 | 0.4000 | auto | 10 |" in text
    assert "| 3 |" not in text
    assert "Accuracy of `auto` less that of the probe: mean of 2 splits +0.0150" in text
    assert "Log-loss of `auto` less that of the probe: mean of 2 splits -0.1000" in text


def test_a_set_of_which_one_side_was_run_alone_says_so():
    run = {**RUN, "split": 1, "side": "probe", "accuracy": 0.8, "loss": 0.5, "chosen": ""}
    assert page({"machine": "a machine", "sets": [run]}).count("No split of it has both yet.") == 1

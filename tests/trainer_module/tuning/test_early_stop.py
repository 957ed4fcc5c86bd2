"""The median stopping rule."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from finetune.config import EarlyStopConfig, TuningConfig
from trainer_module.tuning.early_stop import verdict

AT_ONCE = EarlyStopConfig(after_epochs=1, after_trials=1)
# Losses that average 0.5, 0.4 and 0.3 over the first two epochs.
OTHERS = [[0.6, 0.4, 9.0], [0.5, 0.3], [0.4, 0.2, 0.0, 0.0]]


def test_a_trial_ends_where_its_best_is_strictly_worse_than_the_median_of_the_averages_so_far():
    assert verdict(AT_ONCE, [0.9, 0.41], OTHERS, higher_is_better=False)
    assert not verdict(AT_ONCE, [0.9, 0.40], OTHERS, higher_is_better=False), "as good is not worse"
    assert not verdict(AT_ONCE, [0.39, 0.9], OTHERS, higher_is_better=False), "its best counts, not its last"


def test_the_reason_has_both_numbers():
    reason = verdict(AT_ONCE, [0.9, 0.41], OTHERS, higher_is_better=False)
    assert "by epoch 2, 0.4100" in reason
    assert "0.4000" in reason
    assert "3 of them" in reason


def test_what_comes_later_in_other_trials_says_nothing_and_a_shorter_one_counts_with_what_it_has():
    # Averages over three epochs: 10 / 3, 0.4 (of two) and 0.2.
    assert verdict(AT_ONCE, [0.9, 0.9, 0.41], OTHERS, higher_is_better=False)
    assert not verdict(AT_ONCE, [0.9, 0.9, 0.39], OTHERS, higher_is_better=False)


def test_where_higher_is_better_the_sides_change():
    assert verdict(AT_ONCE, [0.39], [[0.4], [0.4]], higher_is_better=True)
    assert not verdict(AT_ONCE, [0.41], [[0.4], [0.4]], higher_is_better=True)


def test_every_trial_gets_its_epochs_and_needs_enough_others():
    config = EarlyStopConfig(after_epochs=2, after_trials=3)
    assert verdict(config, [0.9, 0.9], OTHERS, higher_is_better=False)
    assert not verdict(config, [0.9], OTHERS, higher_is_better=False)
    assert not verdict(config, [0.9, 0.9], OTHERS[:2], higher_is_better=False)
    assert not verdict(config, [0.9, 0.9], [*OTHERS[:2], []], higher_is_better=False), "one that was not followed"


@pytest.mark.parametrize("undefined", [None, math.nan])
def test_undefined_scores_count_for_nobody(undefined):
    assert not verdict(AT_ONCE, [undefined], OTHERS, higher_is_better=False)
    assert not verdict(AT_ONCE, [0.9], [[undefined]], higher_is_better=False)
    assert verdict(AT_ONCE, [undefined, 0.6], [[0.5, undefined]], higher_is_better=False)


SPACE = {"training.label_smoothing": [0.0, 0.1]}


def test_trials_end_early_where_their_order_says_nothing():
    assert TuningConfig(space=SPACE).stops == EarlyStopConfig(rule="median")
    assert TuningConfig(space=SPACE, method="bayesian").stops == EarlyStopConfig(rule="median")
    assert TuningConfig(space=SPACE, method="hyperband").stops is None
    assert TuningConfig(space=SPACE, method="one_at_a_time").stops is None
    assert TuningConfig(space=SPACE, early_stop="none").stops is None
    assert TuningConfig(space=SPACE, early_stop={"after_epochs": 7}).stops == EarlyStopConfig(after_epochs=7)
    assert TuningConfig(space=SPACE, method="hyperband", early_stop="none").stops is None
    assert TuningConfig(space=SPACE, parallel=2).stops is None, "what is over first is chance"


@pytest.mark.parametrize(("method", "why"), [("hyperband", "a rule of its own"), ("one_at_a_time", "trained alike")])
def test_a_rule_beside_a_method_that_it_would_spoil_is_refused(method, why):
    with pytest.raises(ValidationError, match=f"(?s)got 'median' beside method '{method}'.*{why}.*expected 'none'"):
        TuningConfig(space=SPACE, method=method, early_stop="median")


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"method": "bayesian"}, "parallel: got 4 beside method 'bayesian'.*expected 1, or method 'random' or"),
        ({"method": "hyperband"}, "parallel: got 4 beside method 'hyperband'"),
        ({"patience": 3}, "patience: got 3 beside parallel 4.*expected no patience, or parallel 1"),
        ({"early_stop": "median"}, "early_stop: got 'median' beside parallel 4.*expected 'none', or parallel 1"),
    ],
)
def test_trials_that_depend_on_others_are_not_trained_side_by_side(others, told):
    with pytest.raises(ValidationError, match=f"(?s){told}"):
        TuningConfig(space=SPACE, parallel=4, **others)
    assert TuningConfig(space=SPACE, parallel=4, method="one_at_a_time").parallel == 4

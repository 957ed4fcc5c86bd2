"""What is tried next: Keras Tuner's oracles behind one interface, and one key at a time."""

from __future__ import annotations

import json
import math

import pytest

pytest.importorskip("keras_tuner")

from keras_tuner import HyperParameters

from finetune.config import AugmentationConfig, TrainingConfig, TuningConfig
from finetune.config.space import decoded, dimensions, values_of, with_values
from trainer_module.tuning.proposals import hyperband_size, hyperparameters, proposer_of

RATE, UNITS, DROPOUT = "training.phases[0].learning_rate", "training.head.units", "training.head.dropout"
SPACE = {
    RATE: {"min": 1e-4, "max": 1e-1, "log": True},
    UNITS: [[], [64]],
    DROPOUT: {"min": 0, "max": 0.5, "when": {UNITS: [[64]]}},
    "training.batch_size": {"min": 8, "max": 32},
    "augmentation.horizontal_flip": [True, False],
}
PLAIN = AugmentationConfig()


def proposed(method: str, trials: int = 13, seed: int = 1, higher_is_better: bool = False, space=None) -> list:
    """Asks for everything; the score of a trial is its rate, and every fifth fails."""
    tuning = TuningConfig(space=space or SPACE, method=method, trials=trials, seed=seed)
    arguments = tuning, TrainingConfig(), PLAIN
    proposer = proposer_of(tuning, dimensions(*arguments), values_of(*arguments), higher_is_better)
    found = []
    while asked := proposer.ask():
        for each in asked:
            found.append(each)
            proposer.tell(each.number, math.nan if each.number % 5 == 4 else each.values.get(RATE, 0.0))
    return found


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband", "one_at_a_time"])
def test_each_proposal_is_a_training_within_the_space(method):
    found = proposed(method)
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    assert len(found) == 12 or method in ("hyperband", "one_at_a_time")
    for each in found:
        training, augmentation = with_values(TrainingConfig(), PLAIN, each.values)
        assert 1e-4 <= training.phases[0].learning_rate <= 1e-1
        assert 8 <= training.batch_size <= 32
        assert isinstance(training.batch_size, int)
        if method != "one_at_a_time":
            assert (DROPOUT in each.values) == (each.values[UNITS] == [64])
            assert augmentation.horizontal_flip in (True, False)


@pytest.mark.parametrize("method", ["random", "bayesian", "hyperband"])
def test_the_same_seed_proposes_the_same(method):
    assert proposed(method) == proposed(method)
    assert proposed(method, seed=2) != proposed(method)


def test_a_gaussian_process_goes_where_scores_are_good():
    rate = {RATE: {"min": 1e-4, "max": 1e-1, "log": True}}
    low = proposed("bayesian", trials=10, space=rate)[-3:]
    high = proposed("bayesian", trials=10, space=rate, higher_is_better=True)[-3:]
    assert sum(each.values[RATE] for each in low) < 0.1 * sum(each.values[RATE] for each in high)


def test_hyperband_trains_the_best_third_for_longer():
    found = proposed("hyperband", trials=24)
    first = [each for each in found if each.share == pytest.approx(1 / 9)]
    later = [each for each in found if each.number > 17]
    assert len(first) == 9
    kept = sorted(each.values[RATE] for each in first if each.number % 5 != 4)[: len(later)]
    assert {each.values[RATE] for each in later if each.share < 1} <= set(kept)
    assert max(each.share for each in found) == 1


@pytest.mark.parametrize(("trials", "expected"), [(5, (3, 1)), (18, (3, 3)), (23, (9, 1)), (100, (27, 1))])
def test_hyperband_is_as_large_as_the_trials_allow(trials, expected):
    assert hyperband_size(trials) == expected


def test_one_key_at_a_time_leaves_out_what_has_no_say_and_what_the_config_says_already():
    found = proposed("one_at_a_time", trials=100)
    assert all(len(each.values) == 1 for each in found)
    assert {key for each in found for key in each.values} == set(SPACE) - {DROPOUT}
    assert {RATE: 1e-3} not in [each.values for each in found], "the config has this rate"
    assert len(proposed("one_at_a_time", trials=3)) == 2


def test_a_space_with_few_points_ends_by_itself():
    found = proposed("random", trials=50, space={UNITS: [[], [64]], "training.label_smoothing": [0, 0.1]})
    assert len(found) == 4
    assert len({json.dumps(each.values, sort_keys=True) for each in found}) == 4


def test_values_survive_as_keras_tuner_has_them():
    tuning = TuningConfig(space=SPACE)
    values = {RATE: 0.05, UNITS: [64], DROPOUT: 0.25, "augmentation.horizontal_flip": False}
    config = hyperparameters(dimensions(tuning, TrainingConfig(), PLAIN), values).get_config()
    kept = HyperParameters.from_config(json.loads(json.dumps(config)))
    assert decoded(kept.values) == values

"""`tuning.space` is held against the config's own types, and gives the trainings that values stand for."""

from __future__ import annotations

import pytest

from finetune.config import AugmentationConfig, TrainingConfig, TuningConfig, checked_config
from finetune.config.space import decoded, dimensions, encoded, space_problems, values_of, with_values
from finetune.errors import ConfigError

RATE = "training.phases[0].learning_rate"
PLAIN = AugmentationConfig()


def tuning(space: dict, **changes) -> TuningConfig:
    return TuningConfig(space=space, **changes)


def problems(space: dict, **training) -> str:
    return "\n".join(space_problems(tuning(space), TrainingConfig(**training), PLAIN))


def test_values_take_the_place_of_those_in_the_config():
    training, augmentation = with_values(
        TrainingConfig(), PLAIN, {RATE: 0.5, "training.head.units": [], "augmentation.horizontal_flip": True}
    )
    assert training.phases[0].learning_rate == 0.5
    assert training.phases[1] == TrainingConfig().phases[1]
    assert training.head.units == []
    assert augmentation.horizontal_flip


def test_another_strategy_brings_its_phases_and_keys_of_these_follow_it():
    values = {RATE: 0.5, "training.strategy": "linear_probe"}
    training, _ = with_values(TrainingConfig(), PLAIN, values)
    assert [phase.name for phase in training.phases] == ["head"]
    assert training.phases[0].learning_rate == 0.5


def test_no_values_are_the_config_as_it_is():
    training = TrainingConfig(head={"start": "fitted"}, phases=[])
    assert with_values(training, PLAIN, {}) == (training, PLAIN)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({RATE: {"min": 1e-4, "max": 20.0}}, f"{RATE}: got 20.0; phases[0].learning_rate: expected less than or equal"),
        ({"training.head.droput": [0, 0.5]}, "training.head.droput: got 0; there is no such key"),
        ({"training.phases[7].epochs": [1, 2]}, "there is no [7]"),
        ({"data.root": ["a", "b"]}, "expected a key of training or augmentation"),
        ({"training": [{}, {}]}, "expected a key of training or augmentation"),
        ({"training..x": [1, 2]}, "expected a dotted key"),
        ({"training.seed": [1, 2]}, "the best of several seeds is the luckiest"),
        ({"training.checkpoint.every_steps": [1, 2]}, "does not change what is trained"),
        ({RATE: {"min": 0.1, "max": 0.2, "when": {"training.head.units": []}}}, "expected a key that comes before it"),
        (
            {"training.head.dropout": {"min": 0, "max": 0.5}, RATE: {"min": 1, "max": 2, "when": {
                "training.head.dropout": 0.1}}},
            "which is a range of numbers",
        ),
        (
            {"training.batch_norm": ["frozen", "train"], RATE: {"min": 1, "max": 2, "when": {
                "training.batch_norm": "trian"}}},
            "got 'trian' of training.batch_norm; expected one of its choices, 'frozen', 'train'",
        ),
        ({"training.label_smoothing": [0, 0.1], "training.focal_gamma": [0, 2.0]}, ""),
        ({"training.strategy": ["two_phase", "auto"]}, "searches by itself"),
        (
            {"training.strategy": ["two_phase", "linear_probe"], "training.phases[1].epochs": [1, 2]},
            "beside training.strategy: 'linear_probe'",
        ),
        (
            {
                "training.strategy": ["two_phase", "linear_probe"],
                "training.phases[1].epochs": {"choice": [1, 2], "when": {"training.strategy": "two_phase"}},
            },
            "",
        ),
    ],
)  # fmt: skip
def test_mistakes_of_a_space_are_told(space, expected):
    found = problems(space)
    assert (expected in found) if expected else not found


def test_a_space_goes_neither_with_auto_nor_with_the_champion_nor_with_phases_that_a_strategy_would_drop():
    rate = {RATE: {"min": 0.1, "max": 0.2}}
    assert "searches by itself" in problems(rate, strategy="auto")
    assert "trials begin with the backbone" in problems(rate, start_from="champion")
    own = [{"name": "mine", "epochs": 1, "learning_rate": 0.1}]
    assert "phases of your own" in problems({"training.strategy": ["full", "gradual"]}, phases=own)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1], "at least 2 items"),
        ({"min": 1}, "expected a list of choices, or `min` and `max`"),
        ({"min": 2, "max": 1}, "expected `min` below `max`, and got 2 and 1"),
        ({"choice": [1, 2], "max": 3}, "expected a list of choices"),
        ({"min": 0, "max": 1, "log": True}, "expected a number above 0 beside `log`"),
        ({"choice": [1, 2], "log": True}, "expected `min` and `max` beside it"),
    ],
)
def test_a_range_that_is_none_is_refused(given, expected):
    raw = {"name": "x", "data": {"root": "x"}, "backbone": {"name": "SmallCNN", "weights": "random"}}
    with pytest.raises(ConfigError) as error:
        checked_config({**raw, "tuning": {"space": {RATE: given}}})
    assert f"tuning.space.{RATE}" in str(error.value)
    assert expected in str(error.value)


def test_a_whole_config_tells_of_its_space():
    raw = {"name": "x", "data": {"root": "x"}, "backbone": {"name": "SmallCNN", "weights": "random"}}
    with pytest.raises(ConfigError, match="there is no such key"):
        checked_config({**raw, "tuning": {"space": {"training.rate": [1, 2]}}})


def test_the_type_of_the_key_says_whether_numbers_are_whole():
    space = tuning({"training.batch_size": {"min": 8, "max": 64}, "training.head.dropout": {"min": 0, "max": 0.9}})
    zero_one = tuning({"training.head.l2": {"min": 0, "max": 1}})
    batch, dropout = dimensions(space, TrainingConfig(), PLAIN)
    (penalty,) = dimensions(zero_one, TrainingConfig(), PLAIN)
    assert (batch.whole, dropout.whole, penalty.whole) == (True, False, False)


def test_points_part_a_range_evenly_in_its_own_measure():
    space = {
        RATE: {"min": 1e-4, "max": 1, "log": True},
        "training.batch_size": {"min": 8, "max": 10},
        "training.head.units": [[], [64]],
    }
    rate, batch, units = dimensions(tuning(space), TrainingConfig(), PLAIN)
    assert rate.points(5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert batch.points(5) == [8, 9, 10]
    assert units.points(5) == [[], [64]]


def test_what_the_config_says_of_each_key():
    found = values_of(tuning({RATE: {"min": 0.1, "max": 0.2}, "training.head": [{}, {"units": []}]}),
                      TrainingConfig(), PLAIN)  # fmt: skip
    assert found[RATE] == 1e-3
    assert found["training.head"]["units"] == [256]


@pytest.mark.parametrize("choices", [[[], [64]], ["adam", "sgd"], [True, False], [None, 1.0], [1, 2], [0.5, 1]])
def test_choices_go_to_keras_tuner_and_back(choices):
    there = [encoded(choice, choices) for choice in choices]
    assert len({type(each) for each in there}) == 1, "Keras Tuner takes choices of one type alone"
    back = [decoded({"training.x": each, "tuner/epochs": 3}) for each in there]
    assert back == [{"training.x": choice} for choice in choices]

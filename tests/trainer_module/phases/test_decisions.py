"""The Trainer's plain decisions: freezing, early stopping, schedules, strategy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from finetune.config import STRATEGIES, EarlyStoppingConfig, PhaseConfig, TrainingConfig, Unfreeze
from finetune.errors import BackboneError, DataError, RunError
from trainer_module.phases.distribution import choose_strategy, is_chief
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.freezing import Layer, block_names, check_phases, rate_factors, trainable_layers
from trainer_module.phases.schedules import learning_rate, total_steps
from trainer_module.tasks import TASKS

# Names as Keras gives them, from the middle and the end of each family.
FAMILIES = {
    "MobileNetV2": (
        "input_1 Conv1 expanded_conv_project block_7_expand block_7_add block_16_project Conv_1 out_relu",
        "stem stem expanded_conv block_7 block_7 block_16 block_16 block_16",
    ),
    "ResNet50": (
        "conv1_conv conv2_block3_1_conv conv2_block3_out conv3_block1_0_bn",
        "stem conv2_block3 conv2_block3 conv3_block1",
    ),
    "VGG16": ("input_1 block1_conv1 block1_pool block5_conv3", "stem block1 block1 block5"),
    "SmallCNN": ("image block1_conv_a block1_pool block3_bn_b", "stem block1 block1 block3"),
    "EfficientNetB0": (
        "stem_conv block1a_dwconv block2b_add block7a_bn top_conv",
        "stem block1a block2b block7a block7a",
    ),
    "MobileNet": ("conv1 conv_dw_1 conv_pw_1_bn conv_dw_13", "stem conv_1 conv_1 conv_13"),
    "MobileNetV3Small": (
        "Conv expanded_conv/project expanded_conv_10/expand multiply",
        "stem expanded_conv expanded_conv_10 expanded_conv_10",
    ),
    "ConvNeXtTiny": ("convnext_tiny_stem convnext_tiny_stage_0_block_2_gelu", "stem convnext_tiny_stage_0_block_2"),
    "RegNetX002": ("regnetx002_stem_bn regnetx002_Stage_3_XBlock_6_conv_3x3", "stem regnetx002_Stage_3_XBlock_6"),
    "ResNetRS50": (
        "stem_1_stem_act_1 BlockGroup5__block_2__conv_1 add_15",
        "stem BlockGroup5__block_2 BlockGroup5__block_2",
    ),
    "InceptionV3": ("conv2d mixed0 conv2d_90 mixed9_1 mixed10", "mixed0 mixed0 mixed10 mixed10 mixed10"),
    "InceptionResNetV2": (
        "conv2d mixed_5b conv2d_9 block35_1_mixed block35_1_conv conv_7b",
        "mixed_5b mixed_5b block35_1 block35_1 block35_1 block35_1",
    ),
    "NASNetMobile": (
        "stem_conv1 reduction_concat_stem_1 normal_left3_5 normal_concat_5",
        "reduction_concat_stem_1 reduction_concat_stem_1 normal_concat_5 normal_concat_5",
    ),
}


@pytest.mark.parametrize(("layers", "blocks"), FAMILIES.values(), ids=FAMILIES)
def test_blocks_are_told_by_the_names_of_layers(layers, blocks):
    assert block_names(layers.split()) == blocks.split()


LAYERS = [
    Layer("image"),
    Layer("block_1_conv", ("block_1_conv/kernel",)),
    Layer("block_1_bn", ("block_1_bn/gamma", "block_1_bn/beta"), is_batch_norm=True),
    Layer("block_2_conv", ("block_2_conv/kernel",)),
    Layer("block_2_bn", ("block_2_bn/gamma", "block_2_bn/beta"), is_batch_norm=True),
    Layer("block_16_conv", ("block_16_conv/kernel", "block_16_conv/bias")),
    Layer("out_relu"),
]


@pytest.mark.parametrize(
    ("unfreeze", "expected"),
    [
        ("none", "......."),
        ("all", "TTTTTTT"),
        ({"last_layers": 1}, "......T"),
        ({"last_layers": 7}, "TTTTTTT"),
        ({"last_blocks": 1}, ".....TT"),
        ({"last_blocks": 2}, "...TTTT"),
        ({"last_blocks": 4}, "TTTTTTT"),
        ({"fraction": 0.5}, "...TTTT"),
        ({"fraction": 1.0}, "TTTTTTT"),
        ({"from_layer": "block_2_bn"}, "....TTT"),
        ({"from_layer": "block_2"}, "...TTTT"),
        ({"variables": "bias$"}, ".....T."),
        ({"variables": "^block_[12]_.*gamma"}, "..T.T.."),
    ],
)
def test_what_is_unfrozen(unfreeze, expected):
    chosen = trainable_layers(LAYERS, Unfreeze.model_validate(unfreeze))
    assert "".join("T" if trains else "." for trains in chosen) == expected


def test_batch_norm_stays_frozen_where_its_layer_would_train():
    chosen = trainable_layers(LAYERS, Unfreeze.model_validate("all"), "frozen")
    assert [layer.is_batch_norm for layer in LAYERS] == [not trains for trains in chosen]
    assert all(trainable_layers(LAYERS, Unfreeze.model_validate("all"), "train_affine_only"))


def test_every_phase_is_checked_before_the_first_one_runs():
    unfreezes = [
        {"last_layers": 8},
        {"last_blocks": 5},
        {"from_layer": "block_99"},
        {"from_layer": "block_2_cov"},
        {"variables": "kernle"},
        {"variables": "gamma"},
        {"last_layers": 7},
    ]
    phases = [
        PhaseConfig(name=f"p{index}", epochs=1, learning_rate=1, unfreeze=unfreeze)
        for index, unfreeze in enumerate(unfreezes)
    ]
    with pytest.raises(BackboneError) as caught:
        check_phases(LAYERS, TrainingConfig(phases=phases))
    lines = str(caught.value).splitlines()
    for index, line in enumerate(
        (
            "last_layers: got 8; the backbone has 7 layers.",
            "last_blocks: got 5; the backbone has 4 blocks: stem, block_1, block_2, block_16.",
            "from_layer: got 'block_99'; expected one of the 7 layers or a block: stem, block_1, block_2, block_16. "
            "Did you mean 'block_16'?",
            "from_layer: got 'block_2_cov'; expected one of the 7 layers or a block: stem, block_1, block_2, "
            "block_16. Did you mean 'block_2_conv'?",
            "variables: got 'kernle', which no variable that may train matches",
            "variables: got 'gamma', which no variable that may train matches",
        )
    ):
        assert lines[index].startswith(f"training.phases[{index}].unfreeze.{line}")
    assert len(lines) == 6


def test_deeper_blocks_learn_at_powers_of_the_factor():
    names = [layer.name for layer in LAYERS]
    assert rate_factors(names, 0.5) == [0.0625, 0.125, 0.125, 0.25, 0.25, 0.5, 0.5]
    assert set(rate_factors(names, 1.0)) == {1.0}


def phase(**keys):
    return PhaseConfig(**{"name": "p", "epochs": 10, "learning_rate": 0.1, **keys})


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        ({"epochs": 3}, 9),  # 21 examples in batches of 8: 3 steps an epoch
        ({"epochs": None, "steps": 7}, 7),
        ({"epochs": None, "examples": 5}, 1),
        ({"epochs": None, "examples": 9}, 2),
        ({"epochs": None, "examples": 42}, 6),
        ({"epochs": None, "examples": 43}, 7),
    ],
)
def test_durations_become_steps(duration, steps):
    assert total_steps(phase(**duration), examples=21, batch_size=8) == steps


def test_a_batch_larger_than_the_data_set_is_one_step_an_epoch():
    assert total_steps(phase(epochs=4), examples=5, batch_size=64) == 4


def rates(schedule, steps=100, steps_per_epoch=10):
    one = phase(schedule=schedule)
    return np.array([learning_rate(one, step, steps, steps_per_epoch) for step in range(steps)])


def test_schedules_follow_their_closed_forms():
    step = np.arange(100)
    np.testing.assert_array_equal(rates("constant"), np.full(100, 0.1))
    np.testing.assert_allclose(rates("cosine"), 0.1 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * step / 100))))
    stairs = rates({"name": "exponential", "decay_steps": 30})
    np.testing.assert_allclose(stairs, 0.1 * 0.96 ** np.floor(step / 30))
    assert len(set(stairs)) == 4
    assert set(rates("exponential")) == {0.1}, "the first stair is 10,000 steps wide"


@pytest.mark.parametrize("name", ["constant", "cosine", "exponential"])
def test_warm_up_rises_linearly_to_the_full_rate_and_the_schedule_follows(name):
    warmed = rates({"name": name, "warmup_epochs": 2, "decay_steps": 5})
    np.testing.assert_allclose(warmed[:20], 0.1 * np.arange(1, 21) / 20)
    np.testing.assert_allclose(warmed[20:], rates({"name": name, "decay_steps": 5}, steps=80))


def test_balanced_weights_make_classes_count_the_same():
    task, labels = TASKS["single_label"], np.repeat([0, 1, 2], [10, 30, 60])
    weights = task.class_weights("balanced", ["a", "b", "c"], labels)
    np.testing.assert_allclose(np.array(weights) * [10, 30, 60], [100 / 3] * 3)
    assert task.class_weights("balanced", ["only"], np.zeros(7, int)) == [1.0]
    assert task.class_weights({"b": 2.5}, ["a", "b"], np.array([0, 1])) == [1.0, 2.5]


def test_balanced_weights_of_labels_make_those_that_have_it_count_as_those_that_lack_it():
    labels = np.zeros((100, 3), np.float32)
    labels[:10, 0] = labels[:50, 1] = labels[:80, 2] = 1
    weights = TASKS["multi_label"].class_weights("balanced", ["a", "b", "c"], labels)
    np.testing.assert_allclose(np.array(weights) * [10, 50, 80], [90, 50, 20])
    assert TASKS["multi_label"].class_weights({"b": 2.5}, ["a", "b"], labels[:, :2]) == [1.0, 2.5]


def test_class_weights_that_cannot_be():
    names = ["rose", "tulip"]
    for name, labels in (("single_label", np.array([0])), ("multi_label", np.array([[1.0, 0.0]]))):
        with pytest.raises(DataError, match=r"got 'tulp'; expected names of classes: rose, tulip. Did you mean 'tuli"):
            TASKS[name].class_weights({"tulp": 2.0}, names, labels)
        with pytest.raises(DataError, match="tulip has no example in train"):
            TASKS[name].class_weights("balanced", names, labels)


def test_gradual_and_adaptive_unfreeze_one_block_a_phase_top_down():
    for name in ("gradual", "adaptive"):
        assert [one.unfreeze.last_blocks for one in STRATEGIES[name].phases] == [None, 1, 2, 3]


def follow(losses, **config):
    stopping = EarlyStopping(EarlyStoppingConfig(**config))
    for epoch, loss in enumerate(losses, start=1):
        stopping.is_best(epoch, loss)
        if stopping.out_of_patience(epoch):
            return stopping, epoch
    return stopping, None


def test_patience_counts_epochs_without_gain():
    stopping, stopped = follow([1.0, 0.8, 0.9, 0.85, 0.7], patience=2)
    assert (stopping.best_epoch, stopped) == (2, 4)
    stopping, stopped = follow([1.0, 0.8, 0.9, 0.7, 0.9], patience=2)
    assert (stopping.best_epoch, stopped) == (4, None)


def test_a_gain_below_min_delta_is_kept_as_best_but_does_not_count():
    stopping, stopped = follow([1.0, 0.99, 0.98], patience=2, min_delta=0.1)
    assert (stopping.best_epoch, stopped) == (3, 3)


def test_losses_that_are_no_numbers_are_never_best():
    stopping, _ = follow([math.nan, 1.0, math.nan], patience=9)
    assert stopping.best_epoch == 2


def test_without_early_stopping_the_best_epoch_is_still_known():
    stopping = EarlyStopping(None)
    assert [stopping.is_best(epoch, loss) for epoch, loss in enumerate([1.0, 2.0, 0.5], start=1)] == [True, False, True]
    assert not stopping.out_of_patience(1000)


def cluster(workers):
    return json.dumps(
        {"cluster": {"worker": [f"w{i}:1" for i in range(workers)]}, "task": {"type": "worker", "index": 0}}
    )


@pytest.mark.parametrize(
    ("wanted", "gpus", "tf_config", "expected"),
    [
        ("auto", 0, None, "one_device"),
        ("auto", 1, None, "one_device"),
        ("auto", 2, None, "mirrored"),
        ("auto", 0, cluster(1), "one_device"),
        ("auto", 2, cluster(2), "multi_worker_mirrored"),
        ("one_device", 4, None, "one_device"),
        ("tpu", 0, None, "tpu"),
        ("multi_worker_mirrored", 0, cluster(2), "multi_worker_mirrored"),
    ],
)
def test_strategy_follows_hardware_and_config(wanted, gpus, tf_config, expected):
    assert choose_strategy(wanted, gpus, tf_config) == expected


def test_one_worker_of_a_cluster_writes():
    assert is_chief(None)
    for workers, task, expected in (
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("worker", 0), False),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("chief", 0), True),
    ):
        content = {"cluster": workers, "task": {"type": task[0], "index": task[1]}}
        assert is_chief(json.dumps(content)) == expected


@pytest.mark.parametrize(
    ("wanted", "tf_config", "message"),
    [
        ("multi_worker_mirrored", None, "names no workers"),
        ("auto", "{", "expected JSON"),
        ("auto", "[1]", "expected JSON"),
    ],
)
def test_a_cluster_that_is_not_there(wanted, tf_config, message):
    with pytest.raises(RunError, match=message):
        choose_strategy(wanted, 1, tf_config)

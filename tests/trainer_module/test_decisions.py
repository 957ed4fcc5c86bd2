"""The Trainer's plain decisions: freezing, early stopping, strategy."""

from __future__ import annotations

import json
import math

import pytest

from pipeline.config import EarlyStoppingConfig, Unfreeze
from pipeline.errors import BackboneError, RunError
from trainer_module.early_stopping import EarlyStopping
from trainer_module.freezing import trainable_layers
from trainer_module.strategy import choose_strategy


@pytest.mark.parametrize(
    ("last_layers", "expected"),
    [(0, [False] * 4), (1, [False] * 3 + [True]), (4, [True] * 4), ("all", [True] * 4)],
)
def test_the_last_layers_train(last_layers, expected):
    assert trainable_layers(4, Unfreeze(last_layers=last_layers)) == expected


def test_more_layers_than_there_are():
    with pytest.raises(BackboneError, match=r"got 5; the backbone has 4 layers"):
        trainable_layers(4, Unfreeze(last_layers=5))


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

"""What a backbone's frozen features tell of a data set, and what the backbone costs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import tensorflow as tf

from trainer_module.examples.input_data import evaluation_batches
from trainer_module.fitted_head import LastLayer, judged_held_out
from trainer_module.phases.setup import Setup

REPETITIONS = 15


def measured(setup: Setup) -> dict[str, float]:
    """Fits a head by cross-validation on the train split, and times one example through the network.

    Returns:
        `loss`, `standard_error`, `accuracy`, `latency_ms` and `size_mb` of a `RankedBackbone`.
    """
    probe = LastLayer(setup).fit(setup.train)
    judged = judged_held_out(setup, setup.train, probe)
    return {
        "loss": float(judged.losses.mean()),
        "standard_error": float(judged.losses.std(ddof=1) / math.sqrt(len(judged.losses))),
        "accuracy": float(judged.hits.mean()),
        "latency_ms": 1000 * _seconds_an_example(setup),
        "size_mb": sum(4 * int(np.prod(each.shape)) for each in setup.backbone.variables) / 1e6,
    }


def _seconds_an_example(setup: Setup) -> float:
    inputs, _ = next(iter(evaluation_batches(setup.train, 1)))
    predict = tf.function(lambda value: setup.model(value, training=False), autograph=False)
    seconds = []
    with _without_fused_kernels():
        predict(inputs)
        for _ in range(REPETITIONS):
            start = time.monotonic()
            tf.nest.map_structure(lambda each: each.numpy(), predict(inputs))
            seconds.append(time.monotonic() - start)
    return median(seconds)


@contextmanager
def _without_fused_kernels() -> Iterator[None]:
    """Keeps TensorFlow from fusing convolutions with the normalization behind them, in functions first called within.

    Those of oneDNN, which training computes with, take twenty times as long for a batch of one as for a batch of two on
    processors without AVX-512, on which servers compute without oneDNN.
    """
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": True, **before})

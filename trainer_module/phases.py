"""One phase: freeze, train epoch by epoch, end early when it pays no more, keep the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from pipeline import events
from pipeline.config import AugmentationConfig, PhaseConfig, TrainingConfig
from pipeline.errors import RunError
from trainer_module.early_stopping import EarlyStopping
from trainer_module.freezing import apply_freeze
from trainer_module.input_data import Split, evaluation_batches, training_batches
from trainer_module.loop import Totals, eval_step, run_epoch, train_step

SECONDS_BETWEEN_STEP_EVENTS = 0.25


def run_phase(
    model: keras.Model,
    backbone: keras.Model,
    training: TrainingConfig,
    index: int,
    train: Split,
    val: Split,
    augmentation: AugmentationConfig,
    strategy: tf.distribute.Strategy,
    component: str,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Runs one phase in place and leaves the weights of its best epoch in the model.

    Args:
        model: The whole network.
        backbone: The part of it that freezing is about.
        training: Phases, batch size and seed.
        index: Which of the phases to run, from 0.
        train: Training examples.
        val: Validation examples, which early stopping watches.
        augmentation: Of training pictures.
        strategy: Where it runs.
        component: Id of the pipeline node that this runs in.

    Returns:
        The phase's row of the summary, and its learning curve: one dict an epoch with `phase`, `epoch` (from 1),
        `loss`, `accuracy`, `val_loss`, `val_accuracy` and `learning_rate`.

    Raises:
        RunError: A loss is no longer a number.
    """
    phase = training.phases[index]
    start = time.monotonic()
    apply_freeze(backbone, phase.unfreeze)
    with strategy.scope():
        optimizer = keras.optimizers.Adam(phase.learning_rate)
        optimizer.build(model.trainable_variables)
    steps = train.steps(training.batch_size)
    parameters = {
        "trainable_parameters": _count(model.trainable_variables),
        "total_parameters": _count(model.variables),
    }
    where = {"component": component, "phase": phase.name}
    events.emit(
        "phase_started",
        **where,
        index=index,
        phases=len(training.phases),
        epochs=phase.epochs,
        steps_per_epoch=steps,
        learning_rate=phase.learning_rate,
        **parameters,
    )

    epochs_before = sum(earlier.epochs for earlier in training.phases[:index])
    train_batches = strategy.experimental_distribute_dataset(
        training_batches(train, training.batch_size, training.seed, augmentation, first_epoch=epochs_before)
    )
    val_batches = strategy.experimental_distribute_dataset(evaluation_batches(val, training.batch_size))
    step = train_step(model, optimizer, strategy, train_batches.element_spec)
    evaluate = eval_step(model, strategy, val_batches.element_spec)
    endless = iter(train_batches)
    stopping = EarlyStopping(phase.early_stopping)
    # A phase that never gains leaves the weights as it found them.
    before = run_epoch(evaluate, val_batches).means("val_")
    stopping.is_best(0, before["val_loss"])
    best_weights = model.get_weights()
    curve: list[dict[str, Any]] = []
    for epoch in range(1, phase.epochs + 1):
        epoch_start = time.monotonic()
        means = run_epoch(step, endless, steps, _StepEvents(where, epoch)).means()
        means |= run_epoch(evaluate, val_batches).means("val_")
        curve.append({"phase": phase.name, "epoch": epoch, **means, "learning_rate": phase.learning_rate})
        seconds = time.monotonic() - epoch_start
        events.emit("epoch", **where, epoch=epoch, epochs=phase.epochs, **means, seconds=seconds)
        _check_finite(phase, epoch, means)
        if stopping.is_best(epoch, means["val_loss"]):
            best_weights = model.get_weights()
        if stopping.out_of_patience(epoch):
            break
    model.set_weights(best_weights)

    at_best = curve[stopping.best_epoch - 1] if stopping.best_epoch else before
    outcome = {
        "epochs": len(curve),
        "seconds": round(time.monotonic() - start, 2),
        "val_loss": at_best["val_loss"],
        "val_accuracy": at_best["val_accuracy"],
        "best_epoch": stopping.best_epoch,
        "stopped_early": len(curve) < phase.epochs,
    }
    events.emit("phase_finished", **where, **outcome)
    row = {"name": phase.name, **outcome, **parameters, "cached_trunk": False, "unfreeze": str(phase.unfreeze)}
    return row, curve


class _StepEvents:
    """Tells the live view about steps, a few times a second."""

    def __init__(self, where: dict[str, str], epoch: int):
        self._fields = {**where, "epoch": epoch}
        self._last = 0.0

    def __call__(self, step: int, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_STEP_EVENTS:
            self._last = now
            events.emit("step", **self._fields, step=step, **totals.means())


def _check_finite(phase: PhaseConfig, epoch: int, means: dict[str, float]) -> None:
    bad = [name for name in ("loss", "val_loss") if not math.isfinite(means[name])]
    if bad:
        raise RunError(
            f"phase {phase.name}, epoch {epoch}: {' and '.join(bad)} became {means[bad[0]]} at learning rate "
            f"{phase.learning_rate:g}. A rate ten times lower is the usual cure."
        )


def _count(variables: Sequence[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)

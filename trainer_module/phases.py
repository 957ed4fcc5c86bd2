"""One phase after the other: freeze, compile, fit, keep the best weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras as keras

from pipeline import events
from pipeline.config import AugmentationConfig, PhaseConfig, TrainingConfig
from trainer_module.callbacks import BestWeights, Progress
from trainer_module.freezing import apply_freeze
from trainer_module.input_data import Split, evaluation_batches, training_batches


def run_phase(
    model: keras.Model,
    backbone: keras.Model,
    phases: Sequence[PhaseConfig],
    index: int,
    train: Split,
    val: Split,
    training: TrainingConfig,
    augmentation: AugmentationConfig,
    component: str,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Runs one phase in place and leaves the weights of its best epoch in the model.

    Args:
        model: The whole network.
        backbone: The part of it that freezing is about.
        phases: All phases of the run.
        index: Which of them to run, from 0.
        train: Training examples.
        val: Validation examples, which early stopping watches.
        training: Batch size and seed.
        augmentation: Of training pictures.
        component: Id of the pipeline node that this runs in.

    Returns:
        The phase's row of the summary, and its learning curve.
    """
    phase = phases[index]
    start = time.monotonic()
    apply_freeze(backbone, phase.unfreeze)
    model.compile(
        optimizer=keras.optimizers.Adam(phase.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    parameters = {
        "trainable_parameters": _count(model.trainable_variables),
        "total_parameters": _count(model.variables),
    }
    steps = train.steps(training.batch_size)
    events.emit(
        "phase_started",
        component=component,
        phase=phase.name,
        index=index,
        phases=len(phases),
        epochs=phase.epochs,
        steps_per_epoch=steps,
        learning_rate=phase.learning_rate,
        **parameters,
    )
    epochs_before = sum(earlier.epochs for earlier in phases[:index])
    best, progress = BestWeights(phase.early_stopping), Progress(component, phase)
    model.fit(
        training_batches(train, training.batch_size, training.seed, augmentation, first_epoch=epochs_before),
        epochs=phase.epochs,
        steps_per_epoch=steps,
        validation_data=evaluation_batches(val, training.batch_size),
        callbacks=[best, progress],
        verbose=0,
    )
    at_best = progress.curve[best.best_epoch - 1]
    row = {
        "name": phase.name,
        "epochs": len(progress.curve),
        "seconds": round(time.monotonic() - start, 2),
        **parameters,
        "val_loss": at_best["val_loss"],
        "val_accuracy": at_best["val_accuracy"],
        "best_epoch": best.best_epoch,
        "stopped_early": best.stopped_early,
        "cached_trunk": False,
        "learning_rate": phase.learning_rate,
        "unfreeze": str(phase.unfreeze),
    }
    events.emit(
        "phase_finished",
        component=component,
        phase=phase.name,
        **{
            name: row[name] for name in ("epochs", "seconds", "val_loss", "val_accuracy", "best_epoch", "stopped_early")
        },
    )
    return row, progress.curve


def _count(variables: Sequence[Any]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)

"""Which trials may train their heads in one batched step. No TensorFlow here."""

from __future__ import annotations

import json
from typing import Any

from finetune.config import AugmentationConfig, PhaseConfig, TrainingConfig
from trainer_module.heads import regularizers_of

OPTIMIZERS = ("adam", "adamw", "sgd")
# What trials of a batch may differ in, by section; everything else they have in common.
_OWN_OF_PHASE = {"name", "epochs", "steps", "examples", "learning_rate", "schedule", "early_stopping", "keep"}
OWN_OF_TRAINING = {"strategy", "phases", "head", "calibration", "batch_size", "label_smoothing"}


def common(training: TrainingConfig, augmentation: AugmentationConfig, examples: int) -> str | None:
    """Returns what trials whose first phase is compiled once have in common; None where it must run by itself.

    Args:
        training: Of a trial.
        augmentation: Of its training examples.
        examples: How many of them there are.
    """
    if not training.phases or not _is_plain(training, training.phases[0], augmentation, examples):
        return None
    phase = training.phases[0]
    facts: dict[str, Any] = {
        "training": training.model_dump(mode="json", exclude=OWN_OF_TRAINING),
        "phase": phase.model_dump(mode="json", exclude={*_OWN_OF_PHASE, "optimizer", "regularizers"}),
        "head": training.head.model_dump(mode="json", include={"units", "start"}),
        "optimizer": phase.optimizer.name,
        # Masks of numbers that nobody drops would take most of the time.
        "drops": regularizers_of(training.head, phase)["dropout"] > 0,
    }
    return json.dumps(facts, sort_keys=True)


def _is_plain(training: TrainingConfig, phase: PhaseConfig, augmentation: AugmentationConfig, examples: int) -> bool:
    """Says whether a phase trains a head on what the frozen backbone gives once for each example, in whole epochs."""
    optimizer = phase.optimizer
    clips = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
    steps_per_epoch = -(-examples // training.batch_size)
    return (
        phase.unfreeze.is_nothing
        and not (phase.augmentation or augmentation).is_active
        and phase.ema is None
        and phase.interpolation is None
        and optimizer.name in OPTIMIZERS
        and not any(clips)
        and not regularizers_of(training.head, phase)["spatial_dropout"]
        and training.frozen_features.cache != "off"
        and training.gradient_accumulation_steps == 1
        and training.mixed_precision == "off"
        and training.on_nan == "stop"
        and (phase.epochs is not None or (phase.steps is not None and phase.steps % steps_per_epoch == 0))
    )

"""How long a phase lasts and how its learning rate goes. No TensorFlow here."""

from __future__ import annotations

import math

from finetune.config import PhaseConfig


def total_steps(phase: PhaseConfig, examples: int, batch_size: int) -> int:
    """Turns the duration of a phase, in epochs, steps or examples, into updates, at most.

    The last step of an epoch takes the examples that are left.
    """
    steps_per_epoch = math.ceil(examples / batch_size)
    if phase.steps:
        return phase.steps
    if phase.examples:
        return phase.examples // examples * steps_per_epoch + math.ceil(phase.examples % examples / batch_size)
    return (phase.epochs or 0) * steps_per_epoch


def learning_rate(phase: PhaseConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """Returns the rate of one update, numbered from 0, of the `steps` that the phase has at most.

    Linear warm-up reaches the full rate with its last step (Goyal et al. 2017, section 2.2). Cosine decay is
    `rate * (alpha + (1 - alpha) * (1 + cos(pi * progress)) / 2)` (Loshchilov and Hutter 2017, equation 5). Exponential
    decay is `rate * decay_rate ** floor(steps since warm-up / decay_steps)`.
    """
    schedule = phase.schedule
    warm_up = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warm_up:
        return phase.learning_rate * (step + 1) / warm_up
    since = step - warm_up
    if schedule.name == "cosine":
        progress = since / (steps - warm_up)
        share = schedule.alpha + (1 - schedule.alpha) * (1 + math.cos(math.pi * progress)) / 2
        return phase.learning_rate * share
    if schedule.name == "exponential":
        return phase.learning_rate * schedule.decay_rate ** (since // schedule.decay_steps)
    return phase.learning_rate

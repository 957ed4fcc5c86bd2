"""A learning-rate range test of one phase, which leaves the network as it was."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer_module.examples.input_data import training_batches
from trainer_module.heads import regularize
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.distribution import distributed
from trainer_module.phases.freezing import apply_freeze
from trainer_module.phases.loop import train_step
from trainer_module.phases.optimizers import PhaseOptimizer
from trainer_module.phases.rate_finder import has_diverged
from trainer_module.phases.run import Setup, restore, run_phases
from trainer_module.phases.state import Snapshot


def train_phases_before(setup: Setup, index: int) -> None:
    """Trains the phases before one, as a run would, so that it is tested where it would begin."""
    if not index:
        return
    training = setup.training.model_copy(update={"phases": setup.training.phases[:index]})
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(folder, "", training.checkpoint, setup.component)
        run_phases(dataclasses.replace(setup, training=training), checkpoints)


def losses_at(
    setup: Setup, index: int, rates: Sequence[float], tell: Callable[[int], None] = lambda done: None
) -> list[float]:
    """Takes one step of training at each rate, and then gives all variables their values back.

    Args:
        setup: Where and on what.
        index: Of the phase, which says what trains, with what optimiser and block factors, on what augmentation; its
            schedule is replaced by the rates.
        rates: Of the steps.
        tell: Called with the number of steps done.

    Returns:
        The mean loss of each step's batch; finite, and fewer than there are rates where it diverged.
    """
    model, training, strategy = setup.model, setup.training, setup.strategy
    phase = training.phases[index]
    everything = list(model.variables)
    before = Snapshot([variable.numpy() for variable in everything])
    variables, factors = apply_freeze(model, setup.backbone, phase, training.batch_norm)
    regularize(model, training.head, phase)
    with strategy.scope():
        optimizer = PhaseOptimizer(phase.optimizer, variables, factors, [None] * len(variables))
        # The first factor of dynamic loss scaling may overflow, and so skip steps; without any, small gradients vanish.
        scale = tf.Variable(2.0**10, trainable=False) if training.mixed_precision == "float16" else None
    augmentation = phase.augmentation or setup.augmentation
    batches = distributed(training_batches(setup.train, training.batch_size, training.seed, augmentation), strategy)
    step = train_step(
        model, variables, optimizer, setup.loss, training.micro_batches, strategy, batches.element_spec, scale
    )
    losses: list[float] = []
    for rate, batch in zip(rates, batches, strict=False):
        optimizer.set_rate(rate)
        losses.append(step(batch).means()["loss"])
        tell(len(losses))
        if has_diverged(losses):
            break
    restore(everything, before)
    return losses if math.isfinite(losses[-1]) else losses[:-1]

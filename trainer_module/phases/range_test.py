"""A learning-rate range test of one phase, which leaves the network as it was."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence

from trainer_module.examples.input_data import evaluation_batches, training_batches
from trainer_module.frozen_features.feed import Feed, Feeds
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.program import at_once, build_program, freeze
from trainer_module.phases.rate_finder import has_diverged
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup

# The first factor of dynamic loss scaling may overflow, and so skip steps; without any, small gradients vanish.
LOSS_SCALE = 2.0**10


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

    The phase says what trains, with what optimizer and block factors, on what augmentation; the rates replace its
    schedule. `tell` is called with the number of steps done.

    Returns:
        The mean loss of each step's batch; finite, and fewer than there are rates where it diverged.
    """
    training = setup.training
    scope = freeze(setup, index)
    augmentation = scope.phase.augmentation or setup.augmentation
    parts = training.gradient_accumulation_steps
    batches = training_batches(setup.trained_on, training.batch_size, training.seed, augmentation)
    val_batches = evaluation_batches(setup.val, at_once(setup, parts))
    feeds = Feeds(Feed(setup.model, batches), Feed(setup.model, val_batches))
    program = build_program(setup, scope, feeds, parts, slots={})
    before = program.snapshot()
    losses: list[float] = []
    for rate in rates:
        losses.append(program.update(rate, LOSS_SCALE).means()["loss"])
        tell(len(losses))
        if has_diverged(losses):
            break
    before.assign_to(scope.everything)
    return losses if math.isfinite(losses[-1]) else losses[:-1]

"""One phase as a program that is built once: what trains, with which optimizer, on which batches, for how long."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from finetune.config import PhaseConfig
from trainer_module.frozen_features.feed import Feeds
from trainer_module.heads import regularize
from trainer_module.phases.distribution import distributed
from trainer_module.phases.freezing import apply_freeze
from trainer_module.phases.leaving import Leaving
from trainer_module.phases.loop import Totals, eval_step, evaluate, train_step
from trainer_module.phases.optimizers import PhaseOptimizer, Slots
from trainer_module.phases.schedules import total_steps
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.phases.steps import Steps, What


@dataclass(frozen=True)
class Scope:
    """A scope says what a phase trains, and for how long."""

    index: int  # Number of the phase, from 0.
    phase: PhaseConfig
    everything: Sequence[tf.Variable]  # All variables of the model, in the order in which they were made.
    variables: Sequence[tf.Variable]  # Those that the phase trains.
    factors: Sequence[float]  # What the learning rate of each of these is multiplied with.
    steps: int  # Updates of the phase, at most.
    steps_per_epoch: int  # Updates in one pass over the training examples.
    epochs_before: int  # Epochs that the phases before it take, at most.

    @property
    def epochs(self) -> int:
        """Returns how many epochs the phase has at most; the last may be cut short."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def parameters(self) -> dict[str, Any]:
        """Counts the numbers that train, and all."""
        return {"trainable_parameters": _count(self.variables), "total_parameters": _count(self.everything)}

    @property
    def places(self) -> list[int]:
        """Lists where each trained variable stands among all."""
        place_of = {id(variable): place for place, variable in enumerate(self.everything)}
        return [place_of[id(variable)] for variable in self.variables]


@dataclass(frozen=True)
class Program:
    """A program takes training steps of one phase, validates, and copies out the weights."""

    scope: Scope
    steps: Steps
    batches: Iterator  # Endless training batches.
    val_batches: Iterator  # Endless; making an iterator anew for each pass takes longer than validating a head.
    val_steps: int  # Batches in one pass.
    still: Mapping[int, np.ndarray]  # Values of the variables that no step can move, by their place among all.

    def update(self, rate: float, loss_scale: float) -> Totals:
        """Takes one step on the next batch at a learning rate; the scale is used with float16 alone."""
        steps = self.steps
        steps.optimizer.set_rate(rate)
        if steps.loss_scale is not None:
            steps.loss_scale.assign(loss_scale)
        steps.leaving.before_step()
        sums = steps.train(next(self.batches))
        steps.leaving.after_step(sums)
        return sums

    def validate(self) -> dict[str, float]:
        """Returns `val_loss` and `val_accuracy` of the weights in the model."""
        return evaluate(self.steps.evaluation, itertools.islice(self.val_batches, self.val_steps)).means("val_")

    def snapshot(self) -> Snapshot:
        """Copies the weights in the model, and the optimizer's slots."""
        weights = [
            self.still[place] if place in self.still else variable.numpy()
            for place, variable in enumerate(self.scope.everything)
        ]
        return Snapshot(weights, dict(zip(self.scope.places, self.steps.optimizer.slots(), strict=True)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Has the moving averages in the model in place of the weights, where the phase keeps any."""
        if not self.scope.phase.ema:
            yield
            return
        weights = [variable.numpy() for variable in self.scope.variables]
        self.assign(self.steps.optimizer.averages())
        try:
            yield
        finally:
            self.assign(weights)

    def assign(self, values: Sequence[np.ndarray]) -> None:
        """Sets the variables that the phase trains, in their order."""
        for variable, value in zip(self.scope.variables, values, strict=True):
            variable.assign(value)


def freeze(setup: Setup, index: int) -> Scope:
    """Freezes what a phase does not train, sets its regularizers, and says what there is to do."""
    training, phase = setup.training, setup.training.phases[index]
    everything = list(setup.model.variables)
    variables, factors = apply_freeze(setup.model, setup.backbone, phase, training)
    regularize(setup.model, training.head, phase)
    examples = setup.trained_on
    steps_per_epoch = examples.steps(training.batch_size)
    steps = [total_steps(each, examples.examples, training.batch_size) for each in training.phases[: index + 1]]
    epochs_before = sum(math.ceil(each / steps_per_epoch) for each in steps[:index])
    return Scope(index, phase, everything, variables, factors, steps[index], steps_per_epoch, epochs_before)


def build_program(
    setup: Setup, scope: Scope, feeds: Feeds, gradient_accumulation_steps: int, slots: Mapping[int, Slots]
) -> Program:
    """Builds the program of a phase; nothing is computed yet.

    Args:
        gradient_accumulation_steps: Parts that each batch is computed in.
        slots: What the optimizer goes on from, by the place of the variable among all; those missing begin anew.
    """
    strategy, phase = setup.strategy, scope.phase
    # What is trained on frozen features leaves the layers that gave them as they are.
    moving = {id(variable) for variable in feeds.train.model.variables}
    still = {place: each.numpy() for place, each in enumerate(scope.everything) if id(each) not in moving}
    batches = distributed(feeds.train.batches, strategy)
    val_steps = setup.val.steps(at_once(setup, gradient_accumulation_steps))
    val_batches = distributed(feeds.val.batches.repeat(), strategy)
    models, objective = (feeds.train.model, feeds.val.model), setup.objective
    specs, parts = (batches.element_spec, val_batches.element_spec), gradient_accumulation_steps
    earlier = [slots.get(place) for place in scope.places]

    def compiled() -> Steps:
        with strategy.scope():
            optimizer = PhaseOptimizer(phase.optimizer, scope.variables, scope.factors, earlier, phase.ema)
            scale = tf.Variable(1.0, trainable=False) if setup.training.mixed_precision == "float16" else None
        leaving = Leaving(strategy)
        own = optimizer, objective, parts, strategy, specs[0], scale, leaving.told
        train = train_step(models[0], scope.variables, *own)
        return Steps(optimizer, scale, train, eval_step(models[1], objective, strategy, specs[1]), leaving)

    if setup.shared_steps is None:
        steps = compiled()
    else:
        modes = [layer.trainable for layer in setup.backbone.layers]
        numbers = (*scope.places, *modes, parts, repr(specs))
        what = What(phase.optimizer, phase.ema, scope.factors, earlier, (*models, objective), numbers)
        steps = setup.shared_steps.of(what, compiled)
    return Program(scope, steps, iter(batches), iter(val_batches), val_steps, still)


def at_once(setup: Setup, gradient_accumulation_steps: int) -> int:
    """Returns for how many examples memory has to suffice, in training and in validation alike."""
    return math.ceil(setup.training.batch_size / gradient_accumulation_steps)


def _count(variables: Sequence[Any]) -> int:
    # Counters, which are whole numbers, are no parameters.
    return sum(int(np.prod(variable.shape)) for variable in variables if variable.dtype.is_floating)

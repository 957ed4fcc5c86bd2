"""Compiled steps of a phase, which other trainings of the same network may use once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from finetune.config import OptimizerConfig
from trainer_module.phases.leaving import Leaving
from trainer_module.phases.loop import Step
from trainer_module.phases.optimizers import PhaseOptimizer, Slots, grouping

# Of several networks or optimizers in turn; each holds slots as large as what it trains.
MOST_KEPT = 4
# Those whose slots are zeros when they are new.
_RESTART = ("adam", "adamw", "sgd", "rmsprop")


@dataclass(frozen=True)
class Steps:
    """Steps are compiled, with the variables beside the model's that they read and update."""

    optimizer: PhaseOptimizer
    # What the loss is multiplied with while gradients are computed; None with any type but float16.
    loss_scale: tf.Variable | None
    train: Step
    evaluation: Step
    leaving: Leaving


@dataclass(frozen=True)
class What:
    """What is compiled, and the slots that it is to begin with."""

    optimizer: OptimizerConfig
    ema: float | None
    factors: Sequence[float]  # Of the rate of each variable.
    slots: Sequence[Slots | None]  # Of each variable.
    # All else that compiled steps are made of: models, objective and specifications, which are held so that their
    # identities stay their own, and numbers.
    objects: Sequence[Any]
    numbers: Sequence[Any]

    @property
    def key(self) -> tuple:
        """Returns what is the same where the same steps serve."""
        groups = grouping(self.factors, self.slots)
        return self.optimizer.model_dump_json(), groups, tuple(map(id, self.objects)), tuple(self.numbers)


class SharedSteps:
    """Keeps the steps of trainings that follow each other; rates, slots and regularizers are no part of them."""

    def __init__(self) -> None:
        self._known: dict[tuple, tuple[What, Steps]] = {}

    def of(self, what: What, compiled: Callable[[], Steps]) -> Steps:
        """Returns steps that begin with these slots, compiled where none are kept."""
        if what.ema is not None or what.optimizer.name not in _RESTART:
            return compiled()
        key = what.key
        if key in self._known:
            steps = self._known[key][1]
            steps.optimizer.restart(what.factors, what.slots)
            return steps
        while len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        steps = compiled()
        self._known[key] = (what, steps)
        return steps

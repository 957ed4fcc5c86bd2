"""Where training stands: all that the rest of it depends on, so that it can go on from here bit by bit alike."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tf_keras as keras

from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.loop import Totals
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.optimizers import Slots


@dataclass
class Snapshot:
    """A snapshot holds weights, and the optimizer's slots of them."""

    # The values of all variables of the model, in the order in which they were made; empty at the very start, when they
    # are what they were made with.
    weights: list[np.ndarray] = field(default_factory=list)
    # Slots of the variables that were trained, by their place in that order.
    slots: dict[int, Slots] = field(default_factory=dict)

    @classmethod
    def of(cls, model: keras.Model) -> Snapshot:
        """Copies the weights that a model has now."""
        return cls([variable.numpy() for variable in model.variables])

    def assign_to(self, variables: Iterable[Any]) -> None:
        """Sets all variables of a model to these values; an empty snapshot leaves them as they are."""
        if self.weights:
            for variable, value in zip(variables, self.weights, strict=True):
                variable.assign(value)


@dataclass
class State:
    """A state says where training stands."""

    phase: int = 0  # Index of the phase, from 0; the number of phases when all are done.
    epoch: int = 1  # The epoch in progress, from 1.
    step: int = 0  # How many steps of it are done.
    totals: Totals = field(default_factory=Totals)  # Sums over these steps.
    # `val_loss` and `val_accuracy` at the start of the phase; empty until they are known.
    before: dict[str, float] = field(default_factory=dict)
    stopping: EarlyStopping | None = None  # Follows the phase; None until it starts.
    rate_scale: float = 1.0  # What learning rates are multiplied with since numbers went bad; 1 if they never did.
    rollbacks: int = 0  # How often they did.
    loss_scale: LossScale = field(default_factory=LossScale)  # Factor of the next step; used with float16 alone.
    # Parts that a batch must be cut into, as far as running out of memory has shown.
    gradient_accumulation_steps: int = 1
    seconds: float = 0.0  # Spent in this phase.
    rows: list[dict[str, Any]] = field(default_factory=list)  # Rows of the summary, one for each finished phase.
    curves: list[dict[str, Any]] = field(default_factory=list)  # One entry for each finished epoch.
    now: Snapshot = field(default_factory=Snapshot)  # What training goes on from; empty at the very start.
    best: Snapshot = field(default_factory=Snapshot)  # What the phase would leave behind.
    # What the phase began with; empty unless it ends on the line from there.
    start: Snapshot = field(default_factory=Snapshot)

    def begin_phase(self, index: int) -> None:
        """Moves on to the start of a phase, from the best weights of the one before."""
        self.now, self.start = self.best, Snapshot()
        self.phase, self.epoch, self.stopping, self.before, self.seconds = index, 1, None, {}, 0.0
        self.rate_scale, self.rollbacks = 1.0, 0

    def kept(self) -> State:
        """Returns a copy that further training leaves alone; snapshots are replaced, never changed, and so shared."""
        kept = copy.copy(self)
        kept.rows, kept.curves, kept.stopping = list(self.rows), list(self.curves), copy.copy(self.stopping)
        return kept

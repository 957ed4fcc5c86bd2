"""Trains candidates, each from a fitted head, on parts of the examples."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from trainer_module.fitted_head import LastLayer
from trainer_module.mirror_images import stand_for_pictures
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.phases.steps import SharedSteps
from trainer_module.probe import Probe
from trainer_module.search.candidates import Candidate, training_of
from trainer_module.search.parts import Part
from trainer_module.search.record import Done
from trainer_module.tasks.objective import Objective

FOLDER = "search"
# Opens the checkpoints of a training, in a folder of this name below that of the node.
Opener = Callable[[Setup, str], Checkpoints]


class Trials:
    """Trains candidates one after the other in one network, with steps that are compiled once."""

    def __init__(self, setup: Setup, last_layer: LastLayer, opened: Opener):
        """Begins with the weights as they are, which have a head that was fitted to all of train."""
        self._setup, self._last_layer, self._opened = setup, last_layer, opened
        self.start = Snapshot.of(setup.model)
        self._heads: dict[int, Probe] = {}
        self._steps = SharedSteps()
        self._objectives: dict[float, Objective] = {}

    def setup_of(self, candidate: Candidate, part: Part) -> Setup:
        """Returns the setup in which a candidate trains on a part."""
        training = training_of(candidate, self._setup.training)
        trial = part.name_of(candidate.name)
        setup = self._setup.with_training(training, train=part.train, val=part.held_out, trial=trial)
        objective = self._objectives.setdefault(training.label_smoothing, setup.objective)
        return dataclasses.replace(setup, shared_steps=self._steps, shared_objective=objective)

    def begin(self, part: Part) -> None:
        """Brings the weights into the model that training on a part begins with."""
        self.start.assign_to(self._setup.model.variables)
        if not part.number:
            return
        if part.number in self._heads:
            self._last_layer.take(self._heads[part.number])
        else:
            self._heads[part.number] = self._last_layer.fit(part.train)

    def run(self, candidate: Candidate, part: Part) -> tuple[Done, np.ndarray]:
        """Trains a candidate, or the rest of it; the weights are in the model then.

        Returns:
            What became of it, and its logits of what is held out, float32 [views, examples of the part, classes]; of a
            part of train, where the exported model may average them, views are the pictures and their mirror images.

        Raises:
            BadNumbersError: It diverges.
        """
        started = time.monotonic()
        rows, curves, accumulation = [], [], self._setup.training.gradient_accumulation_steps
        self.begin(part)
        if candidate.phases:
            state = run_phases(self.setup_of(candidate, part), self._checkpoints(candidate, part))
            rows, curves, accumulation = state.rows, state.curves, state.gradient_accumulation_steps
        averages = part.number and self._setup.training.test_time_augmentation != "none"
        if averages and stand_for_pictures(self._setup):
            logits = self._last_layer.logits_of_both(part.held_out)
        else:
            logits = self._last_layer.logits(part.held_out)[np.newaxis]
        # What a kill interrupted is in the rows; of this process, the clock knows more.
        seconds = max(time.monotonic() - started, sum(row["seconds"] for row in rows))
        return Done(seconds=seconds, rows=rows, curves=curves, gradient_accumulation_steps=accumulation), logits

    def forget(self, candidate: Candidate, part: Part) -> None:
        """Removes the checkpoints of a candidate that is done."""
        if candidate.phases:
            self._checkpoints(candidate, part).clear()

    def _checkpoints(self, candidate: Candidate, part: Part) -> Checkpoints:
        return self._opened(self.setup_of(candidate, part), f"{FOLDER}/{part.name_of(candidate.name)}")

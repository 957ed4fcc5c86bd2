"""Measures what a step of training takes on this machine."""

from __future__ import annotations

import time

from trainer_module.examples.by_length import TOGETHER
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.program import at_once, build_program, freeze
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.search.decisions import Measured

# More than are prepared ahead while the first step is compiled, so that changing pictures counts too.
STEPS = 6


def measure(setup: Setup) -> Measured:
    """Takes a few steps of the first phase of a training, and leaves the network as it was."""
    before = Snapshot.of(setup.model)
    start = time.monotonic()
    scope = freeze(setup, 0)
    parts = setup.training.gradient_accumulation_steps
    feeds = setup.frozen_features.feeds(0, 0, 0, at_once(setup, parts))
    program = build_program(setup, scope, feeds, parts, slots={})
    program.update(0.0, LossScale().value)
    program.validate()
    # Batches of long texts cost a multiple of those of short ones: those that are sorted together have all lengths.
    steps = TOGETHER if setup.train.lengths.any() else STEPS
    ready = time.monotonic()
    for _ in range(steps):
        program.update(0.0, LossScale().value)
    step = (time.monotonic() - ready) / steps
    before.assign_to(setup.model.variables)
    return Measured(ready - start, step)

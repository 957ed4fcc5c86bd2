"""All phases, one after the other, through memory that runs out and numbers that go bad."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from finetune.disk import is_full
from finetune.errors import RunError
from finetune.events import Note, emit
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.phase import BadNumbersError, run_phase
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import State

# A rate 32 times lower that still fails is not what is wrong.
MOST_ROLLBACKS = 5


def run_phases(setup: Setup, checkpoints: Checkpoints, begin: Callable[[], object] | None = None) -> State:
    """Runs all phases, or the rest of them, and leaves the weights of the last one's best epoch in the model.

    Args:
        setup: Where and on what.
        checkpoints: Where training goes on from, and what it is saved to.
        begin: Called before the first phase begins, but not where training goes on from a checkpoint.

    Returns:
        The state at the end, with a row of the summary for each phase in `rows` and an entry for each epoch in
        `curves`.

    Raises:
        BadNumbersError: A loss is no longer a number, and `training.on_nan` is `stop` or has been tried too often.
        RunError: Memory ran out, and batches cannot be cut into smaller parts.
    """
    state = checkpoints.load()
    if begin and not state.now.weights:
        begin()
    state.now.assign_to(setup.model.variables)
    good = state.kept()

    def keep(state: State) -> None:
        nonlocal good
        good = state.kept()
        checkpoints.save(state)

    while state.phase < len(setup.training.phases):
        try:
            run_phase(setup, state, keep, checkpoints.is_due)
        except tf.errors.ResourceExhaustedError as error:
            if is_full(error):  # TensorFlow calls a disk without room the same.
                raise
            # Of the kept state itself, like rollbacks: what was found out must not be forgotten.
            _cut_batches_smaller(setup, good, error)
            state = good.kept()
            state.now.assign_to(setup.model.variables)
            checkpoints.save(state)
        except BadNumbersError as error:
            if setup.training.on_nan == "stop" or good.rollbacks == MOST_ROLLBACKS:
                raise
            _halve_the_rate(setup, good, error)
            state = good.kept()
            state.now.assign_to(setup.model.variables)
    checkpoints.save(state)
    return state


def _halve_the_rate(setup: Setup, good: State, error: BadNumbersError) -> None:
    good.rollbacks, good.rate_scale = good.rollbacks + 1, good.rate_scale / 2
    text = (
        f"{setup.component}: {error} Training returns to epoch {good.epoch}, step {good.step} with "
        f"{good.rate_scale:g} times the rate."
    )
    emit(Note(text=text, level="warning"))


def _cut_batches_smaller(setup: Setup, good: State, error: tf.errors.ResourceExhaustedError) -> None:
    """Cuts batches into more parts from now on, and reports it."""
    training, phase = setup.training, setup.training.phases[good.phase].name
    tried = max(good.gradient_accumulation_steps, training.gradient_accumulation_steps)
    parts = more_accumulation_steps(tried, training.batch_size, setup.strategy.num_replicas_in_sync)
    several = isinstance(setup.strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if parts is None or several:
        cure = (
            f"training.gradient_accumulation_steps={parts}, for all workers alike"
            if parts
            else "a smaller backbone.image_size"
        )
        first_line = str(error).splitlines()[0]
        raise RunError(f"phase {phase}: memory ran out. Set {cure}. TensorFlow says: {first_line}") from error
    good.gradient_accumulation_steps = parts
    text = (
        f"{setup.component}: memory ran out in phase {phase}. Each batch of {training.batch_size} is now computed "
        f"in {parts} parts, whose gradients add up to the same; training returns to epoch {good.epoch}, step "
        f"{good.step}. training.gradient_accumulation_steps={parts} would spare the attempt."
    )
    emit(Note(text=text, level="warning"))


def more_accumulation_steps(steps: int, batch_size: int, replicas: int) -> int | None:
    """Halves the parts that batches are computed in; the gradients of twice as many add up to that of the same batch.

    Args:
        steps: Parts that each replica's share of a batch is cut into now.
        batch_size: Examples a step, over all replicas together.

    Returns:
        The new number of parts; None when a part is a single example already.
    """
    share = math.ceil(batch_size / replicas)
    return min(2 * steps, share) if steps < share else None

"""The phases: freeze, train epoch by epoch, end early when it pays no more, keep the best weights."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune import events
from finetune.config import AugmentationConfig, OptimizerConfig, TrainingConfig
from finetune.errors import RunError
from trainer_module.examples.input_data import Split
from trainer_module.frozen_features.cache import TrunkCache
from trainer_module.heads import regularize
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.distribution import distributed
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.freezing import apply_freeze
from trainer_module.phases.loop import eval_step, evaluate, train_step
from trainer_module.phases.losses import Loss
from trainer_module.phases.memory import smaller_parts
from trainer_module.phases.optimizers import PhaseOptimizer
from trainer_module.phases.schedules import learning_rate, total_steps
from trainer_module.phases.state import Snapshot, State
from trainer_module.phases.totals import Totals

SECONDS_BETWEEN_STEP_EVENTS = 0.25
# A rate 32 times lower that still fails is not what is wrong.
MOST_ROLLBACKS = 5


@dataclass(frozen=True)
class Setup:
    """All that training needs and never changes, but for the values of the model's variables.

    Attributes:
        model: The whole network.
        backbone: The part of it that freezing is about.
        training: Phases, batch size and seed.
        loss: Of each example, in training.
        train: Training examples.
        val: Validation examples, which early stopping watches.
        augmentation: Of training pictures, in phases that have none of their own.
        strategy: Where it runs.
        component: Id of the pipeline node that this runs in.
        trunk: Keeps what the frozen part of the backbone gives.
    """

    model: keras.Model
    backbone: keras.Model
    training: TrainingConfig
    loss: Loss
    train: Split
    val: Split
    augmentation: AugmentationConfig
    strategy: tf.distribute.Strategy
    component: str
    trunk: TrunkCache


class BadNumbersError(RunError):
    """A loss is no longer a number."""


def run_phases(setup: Setup, checkpoints: Checkpoints) -> State:
    """Runs all phases, or the rest of them, and leaves the weights of the last one's best epoch in the model.

    Args:
        setup: Where and on what.
        checkpoints: Where to go on from, and where to save.

    Returns:
        The state at the end, with a row of the summary for each phase in `rows` and an entry for each epoch in
        `curves`.

    Raises:
        BadNumbersError: A loss is no longer a number, and `training.on_nan` is `stop` or has been tried too often.
        RunError: Memory ran out, and smaller micro-batches cannot be had.
    """
    variables = list(setup.model.variables)
    state = checkpoints.load()
    restore(variables, state.now)
    good = state.kept()

    def keep(state: State) -> None:
        nonlocal good
        good = state.kept()
        checkpoints.save(state)

    while state.phase < len(setup.training.phases):
        try:
            run_phase(setup, state, keep, checkpoints.is_due)
        except tf.errors.ResourceExhaustedError as error:
            # Of the kept state itself, like rollbacks below: what was found out must not be forgotten.
            good.micro_batches = _smaller_parts(setup, good, error)
            state = good.kept()
            restore(variables, state.now)
            checkpoints.save(state)
        except BadNumbersError as error:
            if setup.training.on_nan == "stop" or good.rollbacks == MOST_ROLLBACKS:
                raise
            # Of the kept state itself, so that numbers which go bad again at once are counted too.
            good.rollbacks, good.rate_scale = good.rollbacks + 1, good.rate_scale / 2
            state = good.kept()
            restore(variables, state.now)
            events.emit(
                "note",
                level="warning",
                text=f"{setup.component}: {error} Training returns to epoch {state.epoch}, step {state.step} with "
                f"{state.rate_scale:g} times the rate.",
            )
    checkpoints.save(state)
    return state


def run_phase(
    setup: Setup, state: State, keep: Callable[[State], None], is_due: Callable[[int], bool] = lambda step: False
) -> None:
    """Runs one phase, or the rest of it, and leaves the weights of its best epoch in the model.

    Args:
        setup: Where and on what.
        state: Where training stands; moves on to the start of the next phase. Its `rows` get the phase's row of the
            summary, its `curves` one entry an epoch with `phase`, `epoch` (from 1), `loss`, `accuracy`, `val_loss`,
            `val_accuracy` and `learning_rate`.
        keep: Called with the state at the start of the phase, at the end of each epoch, and when it is due.
        is_due: Says after how many steps of an epoch.

    Raises:
        BadNumbersError: A loss is no longer a number.
    """
    model, training, strategy = setup.model, setup.training, setup.strategy
    parts = state.micro_batches = max(state.micro_batches, training.micro_batches)
    index = state.phase
    phase = training.phases[index]
    start = time.monotonic() - state.seconds
    everything = list(model.variables)
    variables, factors = apply_freeze(model, setup.backbone, phase, training.batch_norm)
    regularize(model, training.head, phase)
    place_of = {id(variable): place for place, variable in enumerate(everything)}
    places = [place_of[id(variable)] for variable in variables]
    remembered = state.now.memories if _goes_on(training, index) or state.stopping else {}
    with strategy.scope():
        optimizer = PhaseOptimizer(phase.optimizer, variables, factors, [remembered.get(place) for place in places])
        scale = tf.Variable(1.0, trainable=False) if training.mixed_precision == "float16" else None

    steps_per_epoch = setup.train.steps(training.batch_size)
    steps = total_steps(phase, setup.train.examples, training.batch_size)
    epochs = math.ceil(steps / steps_per_epoch)
    parameters = {"trainable_parameters": _count(variables), "total_parameters": _count(everything)}
    where = {"component": setup.component, "phase": phase.name}
    events.emit(
        "phase_started",
        **where,
        index=index,
        phases=len(training.phases),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        learning_rate=phase.learning_rate * state.rate_scale,
        **parameters,
    )

    epochs_before = sum(
        math.ceil(total_steps(earlier, setup.train.examples, training.batch_size) / steps_per_epoch)
        for earlier in training.phases[:index]
    )
    at_once = math.ceil(training.batch_size / parts)
    feed = setup.trunk.feed(index, epochs_before + state.epoch - 1, state.step, at_once)
    train_batches = distributed(feed.train, strategy)
    # What is trained on the outputs of the trunk leaves the trunk as it is.
    moving = {id(variable) for variable in feed.train_model.variables}
    still = {place: variable.numpy() for place, variable in enumerate(everything) if id(variable) not in moving}

    def snapshot() -> Snapshot:
        weights = [still[place] if place in still else each.numpy() for place, each in enumerate(everything)]
        return Snapshot(weights, dict(zip(places, optimizer.memories(), strict=True)))

    # One iterator for all epochs: making one takes longer than validating a head.
    val_batches = distributed(feed.val.repeat(), strategy)
    val_steps = setup.val.steps(at_once)
    step = train_step(
        feed.train_model, variables, optimizer, setup.loss, parts, strategy, train_batches.element_spec, scale
    )
    eval_one = eval_step(feed.val_model, strategy, val_batches.element_spec)
    endless, endless_val = iter(train_batches), iter(val_batches)

    def validate() -> dict[str, float]:
        return evaluate(eval_one, itertools.islice(endless_val, val_steps)).means("val_")

    if state.stopping is None:
        state.stopping = EarlyStopping(phase.early_stopping)
        state.before = validate()
        # A phase that never gains leaves the weights as it found them.
        state.stopping.is_best(0, state.before["val_loss"])
        state.now = state.best = snapshot()
        keep(state)

    # Asked before each epoch, not after one: a run that goes on may stand right after the last.
    while state.epoch <= epochs and not state.stopping.out_of_patience(state.epoch - 1):
        epoch_start = time.monotonic()
        tell = _StepEvents(where, state.epoch)
        done_before = (state.epoch - 1) * steps_per_epoch
        steps_this_epoch = min(steps_per_epoch, steps - done_before)
        while state.step < steps_this_epoch:
            rate = state.rate_scale * learning_rate(phase, done_before + state.step, steps, steps_per_epoch)
            optimizer.set_rate(rate)
            if scale is not None:
                scale.assign(state.loss_scale.value)
            sums = step(next(endless))
            state.step += 1
            if not math.isfinite(sums.loss):
                raise _bad_numbers(phase.name, state, f"the loss of step {state.step} became {sums.loss}", rate)
            if scale is not None:
                state.loss_scale = state.loss_scale.after(overflowed=bool(sums.skipped))
                if state.loss_scale.is_exhausted:
                    raise _bad_numbers(
                        phase.name, state, f"the gradients of step {state.step} overflow float16 unscaled", rate
                    )
            state.totals += sums
            tell(state.step, state.totals)
            if state.step < steps_this_epoch and is_due(state.step):
                state.now, state.seconds = snapshot(), time.monotonic() - start
                keep(state)
        means = state.totals.means() | validate()
        state.curves.append({"phase": phase.name, "epoch": state.epoch, **means, "learning_rate": rate})
        seconds = time.monotonic() - epoch_start
        point = {"epoch": state.epoch, "epochs": epochs, "number": len(state.curves), "learning_rate": rate}
        events.emit("epoch", **where, **point, **means, seconds=seconds)
        if not math.isfinite(means["val_loss"]):
            raise _bad_numbers(phase.name, state, f"the validation loss became {means['val_loss']}", rate)
        state.now = snapshot()
        if state.stopping.is_best(state.epoch, means["val_loss"]):
            state.best = state.now
        state.epoch, state.step, state.totals = state.epoch + 1, 0, Totals()
        state.seconds = time.monotonic() - start
        keep(state)
    restore(everything, state.best)

    trained = state.epoch - 1
    best = state.stopping.best_epoch
    ended_because = f"its {phase.duration} were over"
    if state.stopping.out_of_patience(trained):
        ended_because = (
            f"the validation loss of epoch {best}, {state.stopping.best_loss:.4f}, was not beaten in "
            f"{phase.early_stopping.patience} epochs; the last was {state.curves[-1]['val_loss']:.4f}"
        )
    at_best = state.curves[best - 1 - trained] if best else state.before
    outcome = {
        "epochs": trained,
        "seconds": round(time.monotonic() - start, 2),
        "val_loss": at_best["val_loss"],
        "val_accuracy": at_best["val_accuracy"],
        "best_epoch": best,
        "stopped_early": trained < epochs,
    }
    events.emit("phase_finished", **where, **outcome)
    events.emit("note", text=f"{setup.component}: phase {phase.name} ended because {ended_because}")
    state.rows.append(
        {
            "name": phase.name,
            **outcome,
            **parameters,
            "micro_batches": parts,
            **feed.row,
            "unfreeze": str(phase.unfreeze),
            "ended_because": ended_because,
        }
    )
    state.now = state.best
    state.phase, state.epoch, state.stopping, state.before, state.seconds = index + 1, 1, None, {}, 0.0
    state.rate_scale, state.rollbacks = 1.0, 0


def restore(variables: Sequence[tf.Variable], snapshot: Snapshot) -> None:
    """Sets all variables of a model to what a snapshot holds; an empty one leaves them as they are."""
    if snapshot.weights:
        for variable, value in zip(variables, snapshot.weights, strict=True):
            variable.assign(value)


def _smaller_parts(setup: Setup, good: State, error: tf.errors.ResourceExhaustedError) -> int:
    """Says into how many parts batches are cut from now on, and reports it."""
    training, phase = setup.training, setup.training.phases[good.phase].name
    parts = max(good.micro_batches, training.micro_batches)
    parts = smaller_parts(parts, training.batch_size, setup.strategy.num_replicas_in_sync)
    several = isinstance(setup.strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if parts is None or several:
        cure = f"training.micro_batches={parts}, for all workers alike" if parts else "a smaller backbone.image_size"
        first_line = str(error).splitlines()[0]
        raise RunError(f"phase {phase}: memory ran out. Set {cure}. TensorFlow says: {first_line}") from error
    events.emit(
        "note",
        level="warning",
        text=f"{setup.component}: memory ran out in phase {phase}. Each batch of {training.batch_size} is now computed "
        f"in {parts} micro-batches, whose gradients add up to the same; training returns to epoch {good.epoch}, step "
        f"{good.step}. training.micro_batches={parts} would spare the attempt.",
    )
    return parts


def _goes_on(training: TrainingConfig, index: int) -> bool:
    """Whether the phase has the optimiser of the one before it; clipping may differ."""

    def kept(config: OptimizerConfig) -> tuple:
        return (config.name, config.momentum if config.name == "sgd" else None)

    return index > 0 and kept(training.phases[index].optimizer) == kept(training.phases[index - 1].optimizer)


class _StepEvents:
    """Tells the live view about steps, a few times a second."""

    def __init__(self, where: dict[str, str], epoch: int):
        self._fields = {**where, "epoch": epoch}
        self._last = 0.0

    def __call__(self, step: int, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_STEP_EVENTS:
            self._last = now
            events.emit("step", **self._fields, step=step, **totals.means())


def _bad_numbers(phase: str, state: State, what: str, rate: float) -> BadNumbersError:
    return BadNumbersError(
        f"phase {phase}, epoch {state.epoch}: {what} at learning rate {rate:g}. "
        "A rate ten times lower is the usual cure; clipping (`optimizer: {name: adam, clipnorm: 1.0}`) another."
    )


def _count(variables: Sequence[Any]) -> int:
    # Counters, which are whole numbers, are no parameters.
    return sum(int(np.prod(variable.shape)) for variable in variables if variable.dtype.is_floating)

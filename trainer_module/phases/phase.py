"""One phase: epoch by epoch, to an early end where it pays no more, and back to the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetune import termination
from finetune.config import OptimizerConfig, TrainingConfig
from finetune.errors import RunError
from finetune.events import Epoch, Note, PhaseFinished, PhaseStarted, Step, emit
from trainer_module.frozen_features.feed import Feed
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.line import end_on_the_line
from trainer_module.phases.loop import Totals
from trainer_module.phases.program import Program, Scope, at_once, build_program, freeze
from trainer_module.phases.schedules import learning_rate
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import State
from trainer_module.phases.watch import Watch

SECONDS_BETWEEN_STEP_EVENTS = 0.25


class BadNumbersError(RunError):
    """Says that a loss is no longer a number."""


def run_phase(
    setup: Setup, state: State, keep: Callable[[State], None], is_due: Callable[[int], bool] = lambda step: False
) -> None:
    """Runs one phase, or the rest of it, and leaves the weights of its best epoch in the model.

    Args:
        setup: Where and on what.
        state: Where training stands; moves on to the start of the next phase, or to the end where `setup.watch` ends
            the training. Its `rows` get the phase's row of the summary, its `curves` one entry an epoch with `phase`,
            `epoch` (from 1), `loss`, `accuracy`, `val_loss`, `val_accuracy`, `learning_rate`, and `score` of
            `setup.watch`.
        keep: Called with the state at the start of the phase, at the end of each epoch, and when it is due.
        is_due: Says after how many steps of an epoch.

    Raises:
        BadNumbersError: A loss is no longer a number.
        SystemExit: The process was told to end, and the state is kept.
    """
    start = time.monotonic() - state.seconds
    parts = max(state.gradient_accumulation_steps, setup.training.gradient_accumulation_steps)
    state.gradient_accumulation_steps = parts

    def save() -> None:
        state.seconds = time.monotonic() - start
        keep(state)

    scope = freeze(setup, state.phase)
    where: dict[str, Any] = {"component": setup.component, "phase": scope.phase.name}
    _tell_start(setup, scope, state, where)
    first_epoch = scope.epochs_before + state.epoch - 1
    feeds = setup.frozen_features.feeds(scope.index, first_epoch, state.step, at_once(setup, parts))
    slots = state.now.slots if state.stopping or keeps_slots(setup.training, scope.index) else {}
    program = build_program(setup, scope, feeds, parts, slots)
    stopping = state.stopping
    if stopping is None:
        stopping = _look_before_training(program, state)
        save()

    told: dict[str, Any] = {"trial": setup.trial, "val_is_trained_on": setup.trains_on_validation}
    course = _Course(program, state, stopping, where, told, save, is_due, feeds.val, setup.watch)
    # Asked before each epoch, not after one: a run that goes on may stand right after the last.
    with termination.saving():
        while not _is_over(course) and not course.given_up:
            _run_epoch(course)
            save()
            if program.steps.leaving.agreed:
                termination.leave()
    state.best.assign_to(scope.everything)
    point = end_on_the_line(setup, program, state, feeds.val)

    reason, outcome = _why_it_ended(course), _outcome(course)
    if point:
        outcome |= point.figures
    emit(PhaseFinished(**where, **outcome, **told))
    emit(Note(text=f"{setup.component}: phase {scope.phase.name} ended because {reason}"))
    own = {"gradient_accumulation_steps": parts, "unfreeze": str(scope.phase.unfreeze), "ended_because": reason}
    own |= {"interpolation": point.share} if point else {}
    given_up = not _is_over(course)
    own |= {"given_up": True} if given_up else {}
    state.rows.append({"name": scope.phase.name, **outcome, **scope.parameters, **feeds.row, **own})
    state.begin_phase(len(setup.training.phases) if given_up else scope.index + 1)


def keeps_slots(training: TrainingConfig, index: int) -> bool:
    """Says whether a phase goes on with the optimizer slots of the one before it; clipping may differ."""

    def kept(config: OptimizerConfig) -> tuple:
        return (config.name, config.momentum if config.name == "sgd" else None)

    if index == 0:
        return False
    before, phase = training.phases[index - 1 : index + 1]
    return before.ema == phase.ema and kept(before.optimizer) == kept(phase.optimizer)


@dataclass(frozen=True)
class _Course:
    """A course joins the program of a phase and where it stands."""

    program: Program
    state: State
    stopping: EarlyStopping  # Follows the validation loss.
    where: dict[str, Any]
    told: dict[str, Any]  # What is said with each epoch, and at the end: whose they are.
    save: Callable[[], None]
    is_due: Callable[[int], bool]  # Says after how many steps of an epoch to keep it.
    val: Feed
    watch: Watch | None

    @property
    def given_up(self) -> str:
        """Why the training ends before its time; "" where it goes on."""
        if self.watch is None:
            return ""
        epochs = self.state.epoch - 1
        scores = [point["score"] for point in self.state.curves[len(self.state.curves) - epochs :]]
        return self.watch.verdict(self.program.scope.index, scores)


def _is_over(course: _Course) -> bool:
    """Says whether a phase has had its epochs, or gains nothing any more."""
    epoch = course.state.epoch
    return epoch > course.program.scope.epochs or course.stopping.out_of_patience(epoch - 1)


def _look_before_training(program: Program, state: State) -> EarlyStopping:
    """Validates what the phase begins with: one that never gains leaves the weights as it found them."""
    state.stopping = stopping = EarlyStopping(program.scope.phase.early_stopping)
    state.before = program.validate()
    stopping.is_best(0, state.before["val_loss"])
    state.now = state.best = program.snapshot()
    if program.scope.phase.interpolation is not None:
        state.start = state.now
    return stopping


def _run_epoch(course: _Course) -> None:
    """Runs the rest of an epoch, validates, and moves on to the start of the next."""
    start = time.monotonic()
    program, state, where = course.program, course.state, course.where
    rate = _take_steps(course)
    with program.averaged():
        means: dict[str, Any] = state.totals.means() | program.validate()
        score = {"score": course.watch.score(course.val)} if course.watch else {}
        averaged = program.snapshot()
    state.curves.append({"phase": where["phase"], "epoch": state.epoch, **means, "learning_rate": rate, **score})
    point: dict[str, Any] = {"epoch": state.epoch, "epochs": program.scope.epochs, "number": len(state.curves)}
    seconds = time.monotonic() - start
    emit(Epoch(**where, **point, **means, learning_rate=rate, seconds=seconds, **course.told))
    if not math.isfinite(means["val_loss"]):
        raise _bad_numbers(course, f"the validation loss became {means['val_loss']}", rate)
    phase = program.scope.phase
    state.now = program.snapshot() if phase.ema else averaged
    if course.stopping.is_best(state.epoch, means["val_loss"]) or phase.keep == "last":
        state.best = averaged
    state.epoch, state.step, state.totals = state.epoch + 1, 0, Totals()


def _take_steps(course: _Course) -> float:
    """Takes the steps that are left of an epoch; returns the learning rate of the last."""
    program, state, scope = course.program, course.state, course.program.scope
    told = 0.0
    done_before = (state.epoch - 1) * scope.steps_per_epoch
    steps = min(scope.steps_per_epoch, scope.steps - done_before)
    while state.step < steps:
        place = done_before + state.step
        rate = state.rate_scale * learning_rate(scope.phase, place, scope.steps, scope.steps_per_epoch)
        sums = program.update(rate, state.loss_scale.value)
        state.step += 1
        if not math.isfinite(sums.loss):
            raise _bad_numbers(course, f"the loss of step {state.step} became {sums.loss}", rate)
        if program.steps.loss_scale is not None:
            state.loss_scale = state.loss_scale.after(overflowed=bool(sums.skipped))
            if state.loss_scale.is_exhausted:
                raise _bad_numbers(course, f"the gradients of step {state.step} overflow float16 unscaled", rate)
        state.totals += sums
        if time.monotonic() - told >= SECONDS_BETWEEN_STEP_EVENTS:
            told = time.monotonic()
            means: dict[str, Any] = state.totals.means()
            emit(Step(**course.where, epoch=state.epoch, step=state.step, **means))
        if state.step < steps and (program.steps.leaving.agreed or course.is_due(state.step)):
            state.now = program.snapshot()
            course.save()
            if program.steps.leaving.agreed:
                termination.leave()
    return rate


def _tell_start(setup: Setup, scope: Scope, state: State, where: dict[str, Any]) -> None:
    started = PhaseStarted(
        **where,
        index=scope.index,
        phases=len(setup.training.phases),
        epochs=scope.epochs,
        steps_per_epoch=scope.steps_per_epoch,
        learning_rate=scope.phase.learning_rate * state.rate_scale,
        **scope.parameters,
    )
    emit(started)


def _why_it_ended(course: _Course) -> str:
    phase, stopping, state = course.program.scope.phase, course.stopping, course.state
    if not _is_over(course):
        return course.given_up
    if phase.early_stopping is None or not stopping.out_of_patience(state.epoch - 1):
        return f"its {phase.duration} were over"
    return (
        f"the validation loss of epoch {stopping.best_epoch}, {stopping.best_loss:.4f}, was not beaten in "
        f"{phase.early_stopping.patience} epochs; the last was {state.curves[-1]['val_loss']:.4f}"
    )


def _outcome(course: _Course) -> dict[str, Any]:
    state, epochs = course.state, course.state.epoch - 1
    last = course.program.scope.phase.keep == "last"
    best = epochs if last else course.stopping.best_epoch
    at_best = state.curves[best - 1 - epochs] if best else state.before
    return {
        "epochs": epochs,
        "seconds": round(state.seconds, 2),
        "val_loss": at_best["val_loss"],
        "val_accuracy": at_best["val_accuracy"],
        "best_epoch": best,
        "stopped_early": epochs < course.program.scope.epochs,
    }


def _bad_numbers(course: _Course, what: str, rate: float) -> BadNumbersError:
    return BadNumbersError(
        f"phase {course.where['phase']}, epoch {course.state.epoch}: {what} at learning rate {rate:g}. "
        "A rate ten times lower is the usual cure; clipping (`optimizer: {name: adam, clipnorm: 1.0}`) another."
    )

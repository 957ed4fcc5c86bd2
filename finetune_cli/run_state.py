"""What the events of a run add up to, and the plain lines that tell the same. Nothing here draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from finetune.events import (
    ComponentFinished,
    ComponentStarted,
    Epoch,
    Event,
    Note,
    PhaseFinished,
    PhaseStarted,
    Progress,
    RunEnded,
    RunStarted,
    Step,
    TrialFinished,
    TrialStarted,
)
from finetune_cli.terminal import clean
from pipeline.report import formats


@dataclass(frozen=True)
class Scores:
    """Loss and accuracy, and of which epoch where that is not the current one."""

    loss: float
    accuracy: float
    epoch: int | None = None


@dataclass
class Phase:
    """One training phase as far as its events have told."""

    name: str
    position: str = ""
    epochs: int = 0
    steps_per_epoch: int = 0
    trainable: int | None = None
    total: int | None = None
    learning_rate: float | None = None
    epoch: int = 0
    step: int = 0
    train: Scores | None = None
    validation: Scores | None = None
    best: Scores | None = None
    # Seconds and share done at the first event: what came before it is graph building, not speed.
    first: tuple[float, float] | None = None

    @property
    def share_done(self) -> float:
        """The finished part of all epochs, 0 to 1."""
        if not self.epochs or not self.epoch:
            return 0.0
        within = self.step / self.steps_per_epoch if self.steps_per_epoch else 1.0
        return min(max((self.epoch - 1 + min(within, 1.0)) / self.epochs, 0.0), 1.0)

    def advanced(self, now: float) -> None:
        """Notes the first sign of progress, from which the speed is measured."""
        if self.first is None:
            self.first = (now, self.share_done)

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the last epoch at the speed so far, or None while there is nothing to go by."""
        if self.first is None or self.share_done <= self.first[1]:
            return None
        return (now - self.first[0]) * (1 - self.share_done) / (self.share_done - self.first[1])


@dataclass
class Component:
    """One component of the run as far as its events have told."""

    name: str
    state: str = "waiting"
    started: float | None = None
    seconds: float | None = None
    progress: Progress | None = None
    phase: Phase | None = None
    outcome: str = ""


@dataclass
class RunState:
    """All that the events said."""

    components: dict[str, Component] = field(default_factory=dict)
    log_file: str = ""

    def apply(self, event: Event, now: float) -> list[str]:
        """Takes one event in and returns the lines that a log without a terminal shows for it.

        `now` are the seconds of a clock that never goes back.
        """
        match event:
            case RunStarted():
                return self._run_started(event)
            case Note():
                return [("warning: " if event.level == "warning" else "") + clean(event.text)]
            case RunEnded() | TrialStarted() | TrialFinished():
                return []
        component = self._component(event.component)
        match event:
            case ComponentStarted():
                self.components[component.name] = Component(component.name, state="running", started=now)
                return [f"{component.name}: started"]
            case ComponentFinished():
                component.state, component.seconds = event.state, event.seconds
                return [f"{component.name}: {event.state} after {formats.duration(event.seconds)}"]
            case Progress():
                component.progress = replace(event, unit=clean(event.unit))
                return []
            case PhaseStarted():
                return self._phase_started(component, event)
            case Step():
                phase = self._phase(component, event.phase)
                phase.epoch, phase.step = event.epoch, event.step
                phase.train = Scores(event.loss, event.accuracy)
                phase.advanced(now)
                return []
            case Epoch():
                return self._epoch(component, event, now)
            case PhaseFinished():
                return self._phase_finished(component, event)

    def interrupt(self, state: str, now: float) -> None:
        """Ends whatever is running: the run was left by an exception."""
        for component in self.components.values():
            if component.state == "running":
                component.state = state
                component.seconds = now - component.started if component.started is not None else None

    def _component(self, name: str) -> Component:
        return self.components.setdefault(clean(name), Component(clean(name)))

    def _phase(self, component: Component, name: str) -> Phase:
        """The phase of this name; a new one where its start was never announced."""
        if component.phase is None or component.phase.name != clean(name):
            component.phase = Phase(clean(name))
        return component.phase

    def _run_started(self, event: RunStarted) -> list[str]:
        names = [clean(name) for name in event.components]
        self.components = {name: Component(name) for name in names}
        self.log_file = clean(event.log_file)
        return [f"{formats.plural(len(names), 'component')} to run; log: {self.log_file}"]

    def _phase_started(self, component: Component, event: PhaseStarted) -> list[str]:
        component.progress = None
        phase = component.phase = Phase(
            clean(event.phase),
            f"{event.index + 1}/{event.phases} ",
            event.epochs,
            event.steps_per_epoch,
            event.trainable_parameters,
            event.total_parameters,
            event.learning_rate,
        )
        return [
            f"{component.name}: phase {phase.position}{phase.name} started: up to "
            f"{formats.plural(phase.epochs, 'epoch')}, {formats.count(phase.trainable)} of "
            f"{formats.count(phase.total)} parameters trainable, learning rate {rate(phase.learning_rate)}"
        ]

    def _epoch(self, component: Component, event: Epoch, now: float) -> list[str]:
        phase = self._phase(component, event.phase)
        phase.epoch, phase.step, phase.epochs = event.epoch, phase.steps_per_epoch, event.epochs
        phase.train = Scores(event.loss, event.accuracy)
        phase.advanced(now)
        told = f"{component.name}: {phase.name}, epoch {event.epoch}/{event.epochs}: "
        if event.val_is_trained_on:
            loss, accuracy = formats.number(event.loss), formats.number(event.accuracy)
            return [f"{told}loss {loss}, accuracy {accuracy}, {formats.duration(event.seconds)}"]
        phase.validation = Scores(event.val_loss, event.val_accuracy)
        is_best = math.isfinite(event.val_loss) and (phase.best is None or event.val_loss < phase.best.loss)
        if is_best:
            phase.best = replace(phase.validation, epoch=event.epoch)
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        return [
            told
            + ", ".join(f"{name} {formats.number(getattr(event, name))}" for name in names)
            + f", {formats.duration(event.seconds)}"
            + (", best so far" if is_best else "")
        ]

    def _phase_finished(self, component: Component, event: PhaseFinished) -> list[str]:
        phase = self._phase(component, event.phase)
        if event.val_is_trained_on:
            component.outcome = "fitted to train and val"
            return [
                f"{component.name}: phase {phase.position}{phase.name} finished after "
                f"{formats.plural(event.epochs, 'epoch')} on train and val, {formats.duration(event.seconds)}"
            ]
        component.outcome = f"val accuracy {formats.number(event.val_accuracy)}"
        early = " (stopped early)" if event.stopped_early else ""
        return [
            f"{component.name}: phase {phase.position}{phase.name} finished after "
            f"{formats.plural(event.epochs, 'epoch')}{early}: best epoch {event.best_epoch}, "
            f"val_loss {formats.number(event.val_loss)}, val_accuracy {formats.number(event.val_accuracy)}, "
            f"{formats.duration(event.seconds)}"
        ]


def rate(value: float | None) -> str:
    """A learning rate: `0.001`, `3e-05`."""
    return formats.MISSING if value is None else f"{value:g}"

"""What a person sees of a run in the terminal: one live view while it works, one summary when it is done.

`RunView` listens to the events of `finetune.events`. Every event is a dict with a `kind`; a field that is missing is
shown as a dash, an unknown kind is ignored. The kinds and their fields:

    run_started         components (ids), log_file
    component_started   component
    component_finished  component, state (ran | cached | failed), seconds
    progress            component, done, total, unit
    phase_started       component, phase, index (from 0), phases, epochs, steps_per_epoch, trainable_parameters,
                        total_parameters, learning_rate
    step                component, phase, epoch (from 1), step (from 1), loss, accuracy
    epoch               component, phase, epoch, epochs, number (from 1, of all phases), learning_rate, loss, accuracy,
                        val_loss, val_accuracy, seconds
    phase_finished      component, phase, epochs, stopped_early, best_epoch, val_loss, val_accuracy, seconds
    note                text, level (info | warning)
"""

from __future__ import annotations

import logging
import math
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from finetune.events import LOGGER_NAME
from pipeline.report import wording

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

# Four frames a second look alive and cost about two percent of one core.
FRAMES_PER_SECOND = 4
SPINNER_SECONDS = 1 / FRAMES_PER_SECOND
STATE_STYLES = {
    "waiting": "dim",
    "running": "bold cyan",
    "cached": "green dim",
    "ran": "green",
    "failed": "bold red",
    "stopped": "yellow",
}
MARKS = {"waiting": "·", "cached": "✓", "ran": "✓", "failed": "✗", "stopped": "■"}
ASCII_MARKS = {"waiting": ".", "cached": "=", "ran": "+", "failed": "x", "stopped": "!"}
# Kept free at the right edge: the terminal echoes Ctrl-C as `^C`, and a wrapped echo would shift the view by a row.
ECHO_COLUMNS = 2
# Narrower terminals get the tables without the columns that the lines above them or the report tell as well.
FULL_TABLE_COLUMNS = 76
# Enough for a config error or the end of a traceback; the log has the rest.
ERROR_LINES = 12
TONE_STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red"}

_logger = logging.getLogger(__name__)


@dataclass
class _Phase:
    """One training phase as far as its events have told."""

    name: str
    position: str
    epochs: int
    steps_per_epoch: int
    trainable: object
    total: object
    learning_rate: object
    epoch: int = 0
    step: int = 0
    train: dict[str, object] = field(default_factory=dict)
    validation: dict[str, object] = field(default_factory=dict)
    best: dict[str, object] = field(default_factory=dict)
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
class _Component:
    """One component of the run as far as its events have told."""

    name: str
    state: str = "waiting"
    started: float | None = None
    seconds: float | None = None
    progress: tuple[float, float | None, str] | None = None
    phase: _Phase | None = None
    outcome: str = ""


class _RunState:
    """All that the events said. `apply` returns the plain lines that tell the same; it never raises on odd fields."""

    def __init__(self) -> None:
        self.components: dict[str, _Component] = {}
        self.log_file = ""

    def apply(self, event: Mapping[str, Any], now: float) -> list[str]:
        """Takes one event in and returns the lines that a log without a terminal shows for it."""
        handler = getattr(self, f"_on_{event.get('kind')}", None)
        return handler(event, now) if handler else []

    def interrupt(self, state: str, now: float) -> None:
        """Ends whatever is running: the run was left by an exception."""
        for component in self.components.values():
            if component.state == "running":
                component.state = state
                component.seconds = now - component.started if component.started is not None else None

    def _component(self, event: Mapping[str, Any]) -> _Component:
        name = _clean(event.get("component") or "?")
        return self.components.setdefault(name, _Component(name))

    def _phase(self, component: _Component, event: Mapping[str, Any]) -> _Phase:
        """The phase that the event belongs to; made up from the event when its start was never announced."""
        name = _clean(event.get("phase") or "training")
        if component.phase is None or component.phase.name != name:
            index, phases = _whole(event.get("index")), _whole(event.get("phases"))
            component.phase = _Phase(
                name=name,
                position=f"{index + 1}/{phases} " if phases else "",
                epochs=_whole(event.get("epochs")),
                steps_per_epoch=_whole(event.get("steps_per_epoch")),
                trainable=event.get("trainable_parameters"),
                total=event.get("total_parameters"),
                learning_rate=event.get("learning_rate"),
            )
        return component.phase

    def _on_run_started(self, event: Mapping[str, Any], now: float) -> list[str]:
        names = event.get("components")
        names = [_clean(name) for name in names] if isinstance(names, (list, tuple)) else []
        self.components = {name: _Component(name) for name in names}
        self.log_file = _clean(event.get("log_file") or "")
        log = f"; log: {self.log_file}" if self.log_file else ""
        return [f"{wording.plural(len(names), 'component')} to run{log}"]

    def _on_component_started(self, event: Mapping[str, Any], now: float) -> list[str]:
        component = self._component(event)
        self.components[component.name] = _Component(component.name, state="running", started=now)
        return [f"{component.name}: started"]

    def _on_component_finished(self, event: Mapping[str, Any], now: float) -> list[str]:
        component = self._component(event)
        component.state = str(event.get("state")) if event.get("state") in ("ran", "cached", "failed") else "ran"
        component.seconds = wording.finite(event.get("seconds"))
        if component.seconds is None and component.started is not None:
            component.seconds = now - component.started
        return [f"{component.name}: {component.state} after {wording.duration(component.seconds)}"]

    def _on_progress(self, event: Mapping[str, Any], now: float) -> list[str]:
        done = wording.finite(event.get("done"))
        if done is not None:
            self._component(event).progress = (
                done,
                wording.finite(event.get("total")),
                _clean(event.get("unit") or ""),
            )
        return []

    def _on_phase_started(self, event: Mapping[str, Any], now: float) -> list[str]:
        component = self._component(event)
        component.phase = None
        component.progress = None
        phase = self._phase(component, event)
        epochs = wording.plural(phase.epochs, "epoch")
        return [
            f"{component.name}: phase {phase.position}{phase.name} started: up to {epochs}, "
            f"{wording.count(phase.trainable)} of {wording.count(phase.total)} parameters trainable, "
            f"learning rate {_rate(phase.learning_rate)}"
        ]

    def _on_step(self, event: Mapping[str, Any], now: float) -> list[str]:
        phase = self._phase(self._component(event), event)
        phase.epoch, phase.step = _whole(event.get("epoch")), _whole(event.get("step"))
        phase.train = {name: event.get(name) for name in ("loss", "accuracy")}
        phase.advanced(now)
        return []

    def _on_epoch(self, event: Mapping[str, Any], now: float) -> list[str]:
        component = self._component(event)
        phase = self._phase(component, event)
        phase.epoch, phase.step = _whole(event.get("epoch")), phase.steps_per_epoch
        phase.epochs = _whole(event.get("epochs")) or phase.epochs
        phase.train = {name: event.get(name) for name in ("loss", "accuracy")}
        phase.validation = {name: event.get(f"val_{name}") for name in ("loss", "accuracy")}
        phase.advanced(now)
        loss, best_loss = wording.finite(event.get("val_loss")), wording.finite(phase.best.get("loss"))
        is_best = loss is not None and (best_loss is None or loss < best_loss)
        if is_best:
            phase.best = {**phase.validation, "epoch": phase.epoch}
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        return [
            f"{component.name}: {phase.name}, epoch {phase.epoch}/{phase.epochs or '?'}: "
            + ", ".join(f"{name} {wording.number(event.get(name))}" for name in names)
            + f", {wording.duration(event.get('seconds'))}"
            + (", best so far" if is_best else "")
        ]

    def _on_phase_finished(self, event: Mapping[str, Any], now: float) -> list[str]:
        component = self._component(event)
        phase = self._phase(component, event)
        component.outcome = f"val accuracy {wording.number(event.get('val_accuracy'))}"
        epochs = wording.plural(_whole(event.get("epochs")), "epoch")
        early = " (stopped early)" if event.get("stopped_early") else ""
        reached = ", ".join(f"{name} {wording.number(event.get(name))}" for name in ("val_loss", "val_accuracy"))
        return [
            f"{component.name}: phase {phase.position}{phase.name} finished after {epochs}{early}: "
            f"best epoch {_whole(event.get('best_epoch'))}, {reached}, {wording.duration(event.get('seconds'))}"
        ]

    def _on_note(self, event: Mapping[str, Any], now: float) -> list[str]:
        prefix = "warning: " if event.get("level") == "warning" else ""
        return [prefix + _clean(event.get("text") or "")]


class RunView(logging.Handler):
    """Shows the events of a run while the `with` block is open: live on a terminal, else one plain line per event.

    On a terminal the view redraws itself in place; notes and whatever the block prints scroll past above it. Without
    one (a pipe, a CI log), components, phases and epochs are one line each, without colour and flushed at once.

    Args:
        console: Where to draw. It decides width, colour, and whether this is a terminal.
        title: The first line of the view, usually the pipeline's name.
    """

    def __init__(self, console: Console, title: str) -> None:
        super().__init__()
        self._console = console
        self._title = _clean(title)
        self._state = _RunState()
        # Not the handler's own lock: the drawing thread holds the display's lock when it asks for this one.
        self._state_lock = threading.Lock()
        self._live: Live | None = None
        self._started = time.monotonic()
        self._propagated = True

    def __enter__(self) -> RunView:
        # FORCE_COLOR makes rich treat a pipe as a terminal; redrawing in place still makes no sense there.
        if self._console.is_interactive and self._console.file.isatty():
            from rich.live import Live

            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=FRAMES_PER_SECOND,
                # Output that already goes to a file stays there; output to the terminal must not tear the view.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._live.start()
        else:
            self._print_lines([self._title])
        logger = logging.getLogger(LOGGER_NAME)
        self._propagated, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logger = logging.getLogger(LOGGER_NAME)
        logger.removeHandler(self)
        logger.propagate = self._propagated
        if kind is not None:
            with self._state_lock:
                self._state.interrupt("failed" if issubclass(kind, Exception) else "stopped", time.monotonic())
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one event in. Nothing that an event holds can raise here: a display must not end a training run."""
        event = getattr(record, "event", None)
        if not isinstance(event, Mapping):
            return
        try:
            with self._state_lock:
                lines = self._state.apply(event, time.monotonic())
            if self._live is None:
                self._print_lines(lines)
            elif event.get("kind") == "note":
                style = "yellow" if event.get("level") == "warning" else ""
                for line in lines:
                    self._console.print(_text(self._console, (line, style)))
        except Exception:
            _logger.debug("an event could not be shown: %r", event, exc_info=True)

    def _print_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.out(_encodable(self._console, f"{time.strftime('%H:%M:%S')} {line}"), highlight=False)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.constrain import Constrain

        now = time.monotonic()
        with self._state_lock:
            elapsed = wording.duration(now - self._started)
            width = self._console.width - ECHO_COLUMNS
            title = self._title[: max(width - len(elapsed) - 2, 1)]
            heading = self._line((title, "bold"), " " * max(width - len(title) - len(elapsed) - 1, 1), (elapsed, "dim"))
            rows = [heading, *self._component_rows(now)]
            if self._state.log_file:
                rows.append(self._line((f"log: {self._state.log_file}", "dim")))
        return Constrain(Group(*rows), self._console.width - ECHO_COLUMNS)

    def _component_rows(self, now: float) -> list[RenderableType]:
        """One row per component; on a low terminal the finished and the waiting ones share one row each."""
        components = list(self._state.components.values())
        details = {id(each): self._details(each, now) for each in components if each.state == "running"}
        # Title, log line and the cursor's own line.
        needed = len(components) + sum(map(len, details.values())) + 3
        folded: dict[str, list[_Component]] = {"ran": [], "waiting": []}
        if needed > self._console.height:
            folded["ran"] = [each for each in components if each.state in ("ran", "cached")]
            folded["waiting"] = [each for each in components if each.state == "waiting"]
        hidden = {id(each) for group in folded.values() for each in group}
        rows: list[RenderableType] = []
        if folded["ran"]:
            rows.append(self._line(self._mark("ran"), (f" {len(folded['ran'])} finished", STATE_STYLES["ran"])))
        name_width = min(
            max((len(each.name) for each in components), default=0), max(self._console.width - ECHO_COLUMNS - 22, 8)
        )
        for each in components:
            if id(each) not in hidden:
                rows += [self._component_row(each, name_width, now), *details.get(id(each), [])]
        if folded["waiting"]:
            caption = f" {len(folded['waiting'])} waiting"
            rows.append(self._line(self._mark("waiting"), (caption, STATE_STYLES["waiting"])))
        return rows

    def _component_row(self, component: _Component, name_width: int, now: float) -> Text:
        style = STATE_STYLES[component.state]
        name = component.name[:name_width].ljust(name_width)
        seconds = component.seconds
        if component.state == "running" and component.started is not None:
            seconds = now - component.started
        shown = wording.duration(seconds) if seconds is not None else ""
        return self._line(
            self._mark(component.state),
            (f" {name}", "bold" if component.state == "running" else style if component.state == "waiting" else ""),
            (f"  {component.state:<8}", style),
            (f"{shown:>10}", "dim"),
            (f"  {component.outcome}" if component.state == "ran" and component.outcome else "", "dim"),
        )

    def _details(self, component: _Component, now: float) -> list[RenderableType]:
        """The rows under a running component: how far it is and, for training, how well it does."""
        phase = component.phase
        if phase is None:
            if component.progress is None:
                return []
            done, total, unit = component.progress
            if not total or total <= 0:
                return [self._line(f"    {wording.count(done)} {unit}")]
            return [self._bar(min(done / total, 1.0), f"{wording.count(done)}/{wording.count(total)} {unit}")]
        epoch = f", epoch {phase.epoch}/{phase.epochs or '?'}" if phase.epoch else ""
        step = f", step {phase.step}/{phase.steps_per_epoch or '?'}" if phase.step else ""
        left = phase.seconds_left(now)
        trainable, of = wording.short_count(phase.trainable), wording.short_count(phase.total)
        rows: list[RenderableType] = [
            self._line("    phase ", phase.position, (phase.name, "bold"), epoch, step),
            self._line((f"    {trainable} of {of} parameters train, rate {_rate(phase.learning_rate)}", "dim")),
            self._bar(phase.share_done, "" if left is None else f"{wording.duration(left)} left"),
        ]
        results = (("train", phase.train, ""), ("val", phase.validation, ""), ("best", phase.best, "green"))
        for title, values, style in results:
            if values:
                at = f"  epoch {values['epoch']}" if "epoch" in values else ""
                loss, accuracy = wording.number(values.get("loss")), wording.number(values.get("accuracy"))
                rows.append(self._line((f"    {title:<6}loss {loss:<8}accuracy {accuracy}{at}", style)))
        return rows

    def _bar(self, share: float, caption: str) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        # Four columns of indent, one of space, and at most 40 of bar: a longer one is not easier to read.
        width = min(self._console.width - ECHO_COLUMNS - len(caption) - 6, 40)
        if width < 8:
            return self._line(f"    {wording.percent(share)} {caption}")
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row("   ", ProgressBar(total=1.0, completed=share, width=width), self._line(caption))
        return row

    def _mark(self, state: str) -> tuple[str, str]:
        style = STATE_STYLES[state]
        ascii_only = self._console.options.ascii_only
        if state == "running":
            frames = "|/-\\" if ascii_only else "⠋⠙⠸⠴⠦⠇"
            return frames[int(time.monotonic() / SPINNER_SECONDS) % len(frames)], style
        return (ASCII_MARKS if ascii_only else MARKS)[state], style

    def _line(self, *parts: str | tuple[str, str]) -> Text:
        """One row that is cut at the right edge, never wrapped: a wrapped row would make the view jump."""
        line = _text(self._console, *parts)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line


def print_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints the closing view of a run: verdict, gates, metrics, phases, paths, and what to do next.

    Args:
        console: Where to print; without a terminal the output has no colour and no control codes.
        summary: The dict that `finetune run --summary` writes.
    """
    outcome = wording.verdict(summary)
    gates, phases = summary.get("gates") or [], summary.get("phases") or []
    console.print()
    took = f" ({wording.duration(summary['seconds'])})" if wording.finite(summary.get("seconds")) else ""
    reason = f" {_clean(summary.get('name') or '')}: {_clean(outcome.reason)}{took}"
    console.print(_text(console, (outcome.word.upper(), TONE_STYLES[outcome.tone]), reason))
    errors = str(summary.get("error") or "").splitlines()[:ERROR_LINES] if outcome.tone == "bad" else []
    for line in (*errors, *outcome.sentences):
        _print_indented(console, _clean(line))
    wide = console.width >= FULL_TABLE_COLUMNS
    if gates:
        header = ("gate", "value", "bound", "result", "reason")[: 5 if wide else 4]
        _print_table(console, header, [_gate_row(gate)[: len(header)] for gate in gates], right={1, 2})
    metrics = _metric_columns(summary)
    if metrics:
        names = list(dict.fromkeys(name for values in metrics.values() for name in values))
        rows = [[wording.label(n), *(wording.number(values.get(n)) for values in metrics.values())] for n in names]
        _print_table(console, ("metric", *metrics), rows, right=set(range(1, len(metrics) + 1)))
    if phases:
        header = ("phase", "epochs", "time", "val loss", "val accuracy", "trained/total")[: 6 if wide else 5]
        _print_table(console, header, [_phase_row(phase)[: len(header)] for phase in phases], right={1, 2, 3, 4, 5})
        if any(phase.get("stopped_early") for phase in phases):
            console.print(_text(console, ("* stopped early", "dim")))
    console.print()
    model = summary.get("pushed_model")
    waiting = summary.get("pending_model")
    for title, path in (
        ("model", model),
        ("waits", waiting),
        ("report", summary.get("report")),
        ("log", summary.get("log_file")),
    ):
        if path:
            # Not wrapped: a path that is cut in two can be neither clicked nor copied.
            console.print(_text(console, (f"{title:<7}", "bold"), _clean(path)), soft_wrap=True)
    if model:
        example = "--text 'a text'" if summary.get("modality") == "text" else "image.jpg"
        command = f"finetune predict {shlex.quote(_clean(model))} {example}"
        console.print(_text(console, ("try it ", "bold"), command), soft_wrap=True)
    steps = wording.next_steps(summary)
    if steps:
        console.print()
        console.print(_text(console, ("What to do next", "bold")))
        for index, step in enumerate(steps, start=1):
            _print_indented(console, f"{index}. {step}")


def _print_indented(console: Console, text: str) -> None:
    from rich.padding import Padding

    console.print(Padding(_text(console, text), (0, 0, 0, 2)))


def _print_table(
    console: Console, header: tuple[str, ...], rows: Sequence[Sequence[str | tuple[str, str]]], right: set[int]
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1), show_edge=False)
    for index, title in enumerate(header):
        table.add_column(_text(console, _clean(title)), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.add_row(*(_text(console, (_clean(text), style)) for text, style in cells))
    console.print()
    console.print(table)


def _gate_row(gate: Mapping[str, Any]) -> list[str | tuple[str, str]]:
    value, bound = wording.value_and_bound(gate.get("value"), gate.get("bound"))
    result = ("passed", "green") if gate.get("passed") else ("FAILED", "bold red")
    return [str(gate.get("name") or wording.label(gate.get("metric"))), value, bound, result, wording.gate_reason(gate)]


def _metric_columns(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Metrics by column title: the candidate, then whatever it can be compared with."""
    if not summary.get("metrics"):
        return {}
    columns = {"candidate": summary["metrics"], "champion": summary.get("champion_metrics")}
    columns |= {wording.label(name): values for name, values in (summary.get("baselines") or {}).items()}
    return {title: values for title, values in columns.items() if values}


def _phase_row(phase: Mapping[str, Any]) -> list[str | tuple[str, str]]:
    epochs = wording.count(phase.get("epochs")) + ("*" if phase.get("stopped_early") else "")
    reached = [wording.number(phase.get("val_loss")), wording.number(phase.get("val_accuracy"))]
    trainable, total = (wording.short_count(phase.get(f"{part}_parameters")) for part in ("trainable", "total"))
    return [str(phase.get("name")), epochs, wording.duration(phase.get("seconds")), *reached, f"{trainable}/{total}"]


def _text(console: Console, *parts: str | tuple[str, str]) -> Text:
    """Plain text or (text, style) parts as rich text: never markup, and only what the console's encoding holds."""
    from rich.text import Text

    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((_encodable(console, text), style) for text, style in pieces))


def _clean(value: object) -> str:
    """`value` as one line without control codes: names and paths are input, and may carry escape sequences."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def _encodable(console: Console, text: str) -> str:
    """`text` with what the console's encoding lacks replaced: an ASCII-only CI log must not end the run."""
    return text.encode(console.encoding, "replace").decode(console.encoding)


def _whole(value: object) -> int:
    """A count of epochs or steps; 0 when the event has none."""
    found = wording.as_number(value)
    return int(found) if found is not None and math.isfinite(found) else 0


def _rate(value: object) -> str:
    """A learning rate: `0.001`, `3e-05`."""
    found = wording.finite(value)
    return wording.MISSING if found is None else f"{found:g}"

"""The live view of a run in the terminal; without a terminal, one plain line for each event."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from finetune.events import Event, Note, subscribe
from finetune_cli.run_state import Component, RunState, rate
from finetune_cli.terminal import Part, clean, encodable, styled
from pipeline.report import formats

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


class RunView:
    """Shows the events of a run while the `with` block is open, below a title: the console decides how.

    On a terminal the view redraws itself in place; notes and whatever the block prints scroll past above it. Without
    one (a pipe, a CI log), components, phases and epochs are one line each, without colour and flushed at once.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = clean(title)
        self._state = RunState()
        # The drawing thread holds the display's lock when it asks for this one.
        self._state_lock = threading.Lock()
        self._live: Live | None = None
        self._started = time.monotonic()
        self._subscription = ExitStack()

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
        self._subscription.enter_context(subscribe(self._show))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscription.close()
        if kind is not None:
            with self._state_lock:
                self._state.interrupt("failed" if issubclass(kind, Exception) else "stopped", time.monotonic())
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, event: Event) -> None:
        with self._state_lock:
            lines = self._state.apply(event, time.monotonic())
        if self._live is None:
            self._print_lines(lines)
        elif isinstance(event, Note):
            style = "yellow" if event.level == "warning" else ""
            for line in lines:
                self._console.print(styled(self._console, (line, style)))

    def _print_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.out(encodable(self._console, f"{time.strftime('%H:%M:%S')} {line}"), highlight=False)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.constrain import Constrain

        now = time.monotonic()
        with self._state_lock:
            elapsed = formats.duration(now - self._started)
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
        folded: dict[str, list[Component]] = {"ran": [], "waiting": []}
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

    def _component_row(self, component: Component, name_width: int, now: float) -> Text:
        style = STATE_STYLES[component.state]
        name = component.name[:name_width].ljust(name_width)
        seconds = component.seconds
        if component.state == "running" and component.started is not None:
            seconds = now - component.started
        shown = formats.duration(seconds) if seconds is not None else ""
        return self._line(
            self._mark(component.state),
            (f" {name}", "bold" if component.state == "running" else style if component.state == "waiting" else ""),
            (f"  {component.state:<8}", style),
            (f"{shown:>10}", "dim"),
            (f"  {component.outcome}" if component.state == "ran" and component.outcome else "", "dim"),
        )

    def _details(self, component: Component, now: float) -> list[RenderableType]:
        """The rows under a running component: how far it is and, for training, how well it does."""
        phase = component.phase
        if phase is None:
            if component.progress is None:
                return []
            told = component.progress
            if not told.total:
                return [self._line(f"    {formats.count(told.done)} {told.unit}")]
            caption = f"{formats.count(told.done)}/{formats.count(told.total)} {told.unit}"
            return [self._bar(min(told.done / told.total, 1.0), caption)]
        epoch = f", epoch {phase.epoch}/{phase.epochs or '?'}" if phase.epoch else ""
        step = f", step {phase.step}/{phase.steps_per_epoch or '?'}" if phase.step else ""
        left = phase.seconds_left(now)
        trainable, of = formats.short_count(phase.trainable), formats.short_count(phase.total)
        rows: list[RenderableType] = [
            self._line("    phase ", phase.position, (phase.name, "bold"), epoch, step),
            self._line((f"    {trainable} of {of} parameters train, rate {rate(phase.learning_rate)}", "dim")),
            self._bar(phase.share_done, "" if left is None else f"{formats.duration(left)} left"),
        ]
        results = (("train", phase.train, ""), ("val", phase.validation, ""), ("best", phase.best, "green"))
        for title, scores, style in results:
            if scores:
                at = f"  epoch {scores.epoch}" if scores.epoch else ""
                loss, accuracy = formats.number(scores.loss), formats.number(scores.accuracy)
                rows.append(self._line((f"    {title:<6}loss {loss:<8}accuracy {accuracy}{at}", style)))
        return rows

    def _bar(self, share: float, caption: str) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        # Four columns of indent, one of space, and at most 40 of bar: a longer one is not easier to read.
        width = min(self._console.width - ECHO_COLUMNS - len(caption) - 6, 40)
        if width < 8:
            return self._line(f"    {formats.percent(share)} {caption}")
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

    def _line(self, *parts: Part) -> Text:
        """One row that is cut at the right edge, never wrapped: a wrapped row would make the view jump."""
        line = styled(self._console, *parts)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line

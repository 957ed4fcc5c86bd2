"""A history on a terminal: one line an event, the latest last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from finetune_cli.terminal import clean, encodable
from pipeline.history.events import Event
from pipeline.report import formats
from pipeline.report.history import counts, moment

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {"pushed": "green", "approved": "green", "refused": "yellow", "pending": "yellow", "failed": "red"}
EVENTS_SHOWN = 40


def print_history(console: Console, events: Sequence[Event], metric: str, served: int | None) -> None:
    """Prints the latest events with a metric of candidate and champion, and why they came about."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "when (UTC)", "outcome", "version", formats.label(metric), "champion", "why", box=None, pad_edge=False
    )
    for column in table.columns[2:5]:
        column.justify = "right"
    for event in events[-EVENTS_SHOWN:]:
        value, champion = ((of or {}).get(metric) for of in (event.metrics, event.champion))
        table.add_row(
            moment(event.at),
            Text(event.outcome, _STYLES.get(event.outcome, "")),
            str(event.version or ""),
            "" if value is None else formats.number(value),
            "" if champion is None else formats.number(champion),
            Text(encodable(console, "; ".join(map(clean, event.reasons)))),
        )
    if events:
        console.print(table)
    left_out = len(events) - EVENTS_SHOWN
    if left_out > 0:
        console.print(f"{formats.plural(left_out, 'earlier event')} are in the page and in --json", highlight=False)
    told = f"version {served} is served" if served else "nothing is served yet"
    console.print(f"{counts(events) or 'no run has ended here'}; {told}", highlight=False)

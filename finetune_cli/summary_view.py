"""What a person sees in the terminal when a run is done."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from finetune_cli.modalities import MODALITIES
from finetune_cli.terminal import Part, clean, styled
from pipeline.report import wording

if TYPE_CHECKING:
    from rich.console import Console

# Narrower terminals get the tables without the columns that the lines above them or the report tell as well.
FULL_TABLE_COLUMNS = 76
# Enough for a config error or the end of a traceback; the log has the rest.
ERROR_LINES = 12
TONE_STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red"}


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
    reason = f" {clean(summary.get('name') or '')}: {clean(outcome.reason)}{took}"
    console.print(styled(console, (outcome.word.upper(), TONE_STYLES[outcome.tone]), reason))
    errors = str(summary.get("error") or "").splitlines()[:ERROR_LINES] if outcome.tone == "bad" else []
    for line in (*errors, *outcome.sentences):
        _print_indented(console, clean(line))
    wide = console.width >= FULL_TABLE_COLUMNS
    if gates:
        header = ("gate", "value", "bound", "result", "reason")[: 5 if wide else 4]
        _print_table(console, header, [_gate_row(gate)[: len(header)] for gate in gates], right={1, 2})
    metrics = _metric_columns(summary)
    if metrics:
        names = list(dict.fromkeys(name for values in metrics.values() for name in values))
        rows: list[list[Part]] = [
            [wording.label(n), *(wording.number(values.get(n)) for values in metrics.values())] for n in names
        ]
        _print_table(console, ("metric", *metrics), rows, right=set(range(1, len(metrics) + 1)))
    if phases:
        header = ("phase", "epochs", "time", "val loss", "val accuracy", "trained/total")[: 6 if wide else 5]
        _print_table(console, header, [_phase_row(phase)[: len(header)] for phase in phases], right={1, 2, 3, 4, 5})
        if any(phase.get("stopped_early") for phase in phases):
            console.print(styled(console, ("* stopped early", "dim")))
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
            console.print(styled(console, (f"{title:<7}", "bold"), clean(path)), soft_wrap=True)
    if model:
        example = MODALITIES[summary.get("modality", "image")].example
        command = f"finetune predict {shlex.quote(clean(model))} {example}"
        console.print(styled(console, ("try it ", "bold"), command), soft_wrap=True)
    steps = wording.next_steps(summary)
    if steps:
        console.print()
        console.print(styled(console, ("What to do next", "bold")))
        for index, step in enumerate(steps, start=1):
            _print_indented(console, f"{index}. {step}")


def _print_indented(console: Console, text: str) -> None:
    from rich.padding import Padding

    console.print(Padding(styled(console, text), (0, 0, 0, 2)))


def _print_table(console: Console, header: tuple[str, ...], rows: list[list[Part]], right: set[int]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1), show_edge=False)
    for index, title in enumerate(header):
        table.add_column(styled(console, clean(title)), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.add_row(*(styled(console, (clean(text), style)) for text, style in cells))
    console.print()
    console.print(table)


def _gate_row(gate: Mapping[str, Any]) -> list[Part]:
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


def _phase_row(phase: Mapping[str, Any]) -> list[Part]:
    epochs = wording.count(phase.get("epochs")) + ("*" if phase.get("stopped_early") else "")
    reached = [wording.number(phase.get("val_loss")), wording.number(phase.get("val_accuracy"))]
    trainable, total = (wording.short_count(phase.get(f"{part}_parameters")) for part in ("trainable", "total"))
    return [str(phase.get("name")), epochs, wording.duration(phase.get("seconds")), *reached, f"{trainable}/{total}"]

"""What a person sees of a plan to clean up, or of what was done by it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from finetune_cli.terminal import clean, styled
from pipeline.clean.plan import Plan

if TYPE_CHECKING:
    from rich.console import Console

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def print_plan(console: Console, plan: Plan, dry_run: bool) -> None:
    """Prints what goes by kind, with sizes, and which runs stay and why."""
    from rich.table import Table

    going = "would be removed" if dry_run else "removed"
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for removal in plan.removals:
        sizes[removal.kind] += removal.bytes
        counts[removal.kind] += 1
    if plan.removals:
        table = Table(going, "number", "size", box=None, pad_edge=False, header_style="bold")
        for column in table.columns[1:]:
            column.justify = "right"
        for kind in sorted(sizes, key=lambda kind: -sizes[kind]):
            table.add_row(kind, f"{counts[kind]:,}", size_text(sizes[kind]))
        console.print(table)
    runs = "1 run" if len(plan.runs) == 1 else f"{len(plan.runs):,} runs"
    console.print(f"{runs} and {size_text(plan.bytes)} {going}", highlight=False)
    for run_id, reason in plan.stays.items():
        console.print(
            styled(console, (f"stays  {clean(run_id)}", "dim"), (f"  {clean(reason)}", "dim")), soft_wrap=True
        )


def size_text(count: int) -> str:
    """Returns bytes in the unit that leaves one to three digits before the point, such as `22.4 MB`."""
    power = min(max(len(str(count)) - 1, 0) // 3, len(_UNITS) - 1)
    return f"{count / 1000**power:,.{1 if power else 0}f} {_UNITS[power]}"

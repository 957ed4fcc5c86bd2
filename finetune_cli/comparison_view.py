"""Two runs side by side on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluation.metrics import METRICS
from finetune.artifacts.run_comparison import (
    ComparedAnswers,
    ComparedMetric,
    Difference,
    RunComparison,
    SplitDifference,
)
from finetune_cli.terminal import Part, clean, print_table, styled
from pipeline.report import formats

if TYPE_CHECKING:
    from rich.console import Console

# Longer values, such as a prompt of options, are cut.
VALUE_LETTERS = 60
_STYLES = {"first": "yellow", "second": "green"}


def print_comparison(console: Console, found: RunComparison) -> None:
    """Prints both runs, what differs, and the metrics of both models; warnings last, where they are read."""
    for title, run in (("first", found.first), ("second", found.second)):
        console.print(
            styled(console, (f"{title:<8}", "bold"), clean(f"{run.name}, {run.status}: {run.folder}")), soft_wrap=True
        )
    if found.config:
        print_table(console, ("config", "first", "second"), list(map(_difference, found.config)), right=set())
    different = [split for split in found.splits if split.differs]
    if different:
        header = ("data", "first", "second", "first alone", "second alone", "other label")
        print_table(console, header, list(map(_split, different)), right={1, 2, 3, 4, 5})
    if found.code:
        print_table(console, ("code", "first", "second"), list(map(_difference, found.code)), right=set())
    console.print()
    same = [name for name, of in (("config", found.config), ("data", different), ("code", found.code)) if not of]
    if same:
        console.print(f"the same in both: {', '.join(same)}", highlight=False)
    if found.answers:
        _print_answers(console, found.answers)
    for warning in found.warnings:
        console.print(styled(console, ("warning  ", "bold yellow"), clean(warning)), soft_wrap=True)


def _print_answers(console: Console, answers: ComparedAnswers) -> None:
    print_table(
        console,
        ("metric", "first", "second", "second minus first", "shown to be better"),
        [_metric(metric) for metric in answers.metrics],
        right={1, 2, 3},
    )
    console.print()
    parts = (
        f"{answers.both_right:,} right in both",
        f"{answers.first_right:,} in the first alone",
        f"{answers.second_right:,} in the second alone",
        f"{answers.neither_right:,} in neither",
    )
    console.print(f"{answers.examples:,} test examples: {', '.join(parts)}", highlight=False)


def _metric(metric: ComparedMetric) -> list[Part]:
    change = metric.second - metric.first
    interval = f"  [{metric.change.low:+.3f}, {metric.change.high:+.3f}]" if metric.change else ""
    better = metric.better or ("neither" if metric.change else "")
    return [
        METRICS[metric.name].label,
        formats.number(metric.first),
        formats.number(metric.second),
        f"{change:+.3f}{interval}",
        (better, _STYLES.get(better, "dim")),
    ]


def _difference(found: Difference) -> list[Part]:
    style = "" if found.decides else "dim"
    return [(found.name, style), *((_value(text), style) for text in (found.first, found.second))]


def _value(text: str | None) -> str:
    if text is None:
        return "-"
    return text if len(text) <= VALUE_LETTERS else text[: VALUE_LETTERS - 3] + "..."


def _split(split: SplitDifference) -> list[Part]:
    numbers = (split.first, split.second, split.only_first, split.only_second, split.relabelled)
    return [split.split, *("?" if value is None else f"{value:,}" for value in numbers)]

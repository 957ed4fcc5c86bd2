"""`finetune lr-find`: makes the data ready, runs a range test of one phase, draws the curve."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from finetune.config import Config, PhaseConfig
from finetune.errors import ConfigError, did_you_mean
from finetune.events import Progress, emit
from pipeline.local import run_through
from trainer_module.phases.rate_finder import Suggestion, rising_rates, smoothed, suggest

COMPONENT = "RangeTest"


@dataclass(frozen=True)
class Found:
    """The outcome of a range test of a phase, whose `index` counts from 0; `plot` is the PNG file of the curve."""

    phase: PhaseConfig
    index: int
    suggestion: Suggestion
    plot: Path


def find_rate(config: Config, phase: str, lowest: float, highest: float, steps: int, plot: Path | None) -> Found:
    """Runs everything up to Transform that is not cached, then the range test, one step of training a rate.

    Args:
        config: Of the pipeline.
        phase: Name of the phase, or its number, from 1.
        lowest: First rate.
        highest: Last rate.
        steps: How many rates to try.
        plot: PNG file to write; None for one below the output folder.

    Raises:
        ConfigError: There is no such phase, or the rates do not rise.
        RunError: A component failed, or the loss falls nowhere.
    """
    if not 0 < lowest < highest:
        raise ConfigError([f"--lowest, --highest: got {lowest:g} and {highest:g}; expected rates above 0 that rise"])
    if plot and not plot.absolute().parent.is_dir():
        raise ConfigError([f"--plot: got {str(plot)!r}; its folder does not exist"])
    folder = config.output_path / "lr-find"
    if not config.training.phases:
        raise ConfigError(
            ["training.strategy: got 'auto', whose phases the Trainer chooses; expected phases, or another strategy"]
        )
    phase_index(config.training.phases, phase)

    def test(outputs: Mapping[str, Mapping[str, Any]]) -> Found:
        from pipeline.training_setup import training_setup
        from trainer_module.fitted_head import LastLayer
        from trainer_module.phases.range_test import losses_at, train_phases_before

        setup = training_setup(config, outputs["Transform"], COMPONENT)
        index = phase_index(setup.training.phases, phase)
        chosen = setup.training.phases[index]
        if setup.training.head.start == "fitted":
            LastLayer(setup).fit(setup.train)
        train_phases_before(setup, index)
        rates = rising_rates(lowest, highest, steps)

        def tell(done: int) -> None:
            emit(Progress(component=COMPONENT, done=done, total=steps, unit="rates"))

        losses = losses_at(setup, index, rates, tell=tell)
        suggestion = suggest(rates, losses)
        path = plot or folder / f"{chosen.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_drawn(f"{config.name}: phase {chosen.name}", rates, losses, suggestion))
        return Found(chosen, index, suggestion, path)

    return run_through(config, "Transform", COMPONENT, test, folder)


def phase_index(phases: Sequence[PhaseConfig], wanted: str) -> int:
    """Finds a phase by name, or by number from 1.

    Raises:
        ConfigError: There is none.
    """
    names = [phase.name for phase in phases]
    if wanted in names:
        return names.index(wanted)
    if re.fullmatch(r"\d+", wanted) and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    raise ConfigError(
        [f"--phase: got {wanted!r}; expected 1 to {len(names)}, or {', '.join(names)}.{did_you_mean(wanted, names)}"]
    )


def _drawn(title: str, rates: Sequence[float], losses: Sequence[float], suggestion: Suggestion) -> bytes:
    from pipeline.report.figures import rate_curve

    marks = {
        f"suggested: {suggestion.rate:.2g}": suggestion.rate,
        f"steepest: {suggestion.steepest_at:.2g}": suggestion.steepest_at,
        f"lowest: {suggestion.lowest_at:.2g}": suggestion.lowest_at,
    }
    return rate_curve(title, rates[: len(losses)], losses, smoothed(losses), marks)


def print_found(console: Console, found: Found) -> None:
    """Prints the suggestion, what it was read off, and how to use it."""
    suggestion, phase = found.suggestion, found.phase
    console.print(f"\n[bold green]{suggestion.rate:.1e}[/]  suggested for phase {phase.name}", highlight=False)
    for line in (
        f"a tenth of {suggestion.lowest_at:.1e}, where the smoothed loss is lowest",
        f"the loss falls fastest at {suggestion.steepest_at:.1e}; the config says {phase.learning_rate:g}",
    ):
        console.print(f"  {line}", highlight=False)
    if suggestion.still_falling:
        console.print("  [yellow]It was still falling at the highest rate: try again with a higher --highest.[/]")
    console.print(f"curve   {escape(str(found.plot))}", highlight=False, soft_wrap=True)
    setting = f"training.phases[{found.index}].learning_rate={suggestion.rate:.1e}"
    console.print(f"set it  {escape(setting)}", highlight=False, soft_wrap=True)

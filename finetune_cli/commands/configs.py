"""Commands that read a config and run nothing."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from finetune_cli.commands.common import ConfigOrData, Overrides, load, or_exit


def validate(config: ConfigOrData, overrides: Overrides = None) -> None:
    """Checks a config and the files that it names, and reports every mistake at once."""
    loaded = load(config, overrides)
    phases = f"{len(loaded.training.phases)} phases" if loaded.training.phases else "phases chosen by the Trainer"
    console = Console()
    console.print(f"[green]valid[/green]  {config}: pipeline {loaded.name}, {phases}")
    if not loaded.backbone.is_open:
        from pipeline.plan import print_warnings
        from pipeline.split_sizes import expected_sizes

        print_warnings(loaded, expected_sizes(loaded), console)


def plan(
    config: ConfigOrData,
    overrides: Overrides = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also build the backbone (ten seconds or more) and list what trains.")
    ] = False,
) -> None:
    """Prints what a run would do: nodes, phases, gates and places; with `--layers`, also which layers each phase trains
    and how many parameters they have."""
    from finetune_cli.backbones import print_candidates
    from pipeline.plan import print_plan

    loaded, console = load(config, overrides), Console()
    if loaded.backbone.is_open:
        loaded = or_exit(lambda: print_candidates(loaded, console))
    print_plan(loaded, console)
    if layers:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from finetune_cli.layer_plan import print_layers

        with Console(stderr=True).status("Building the backbone: loading TensorFlow"):
            or_exit(lambda: print_layers(loaded, console))

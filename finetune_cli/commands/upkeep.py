"""Commands about an output folder over time."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from finetune_cli.commands.common import ConfigFile, Overrides, load_for_cluster, or_exit


def clean(
    config: ConfigFile,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> None:
    """Frees the disk of earlier runs, as `keep` says; a run does so too when it has ended well.

    What stays: the newest runs that `keep.runs` and `keep.days` name, whatever a pushed version or a model that waits
    for approval rests on, so that it can be served, approved, rolled back to and compared with, and one line about each
    run that goes, for `finetune history`. The folder of pushed versions is not touched; `push.keep` bounds it.

    Checkpoints, frozen features, the example cache and TensorBoard's files go when they were used last before the
    oldest run that stays. A run after this one finds what is left in its cache, and makes anew what is gone.

    Exit code: 0 done, also where nothing goes; 1 a run is going on, or something cannot be removed; 2 bad config or
    usage.
    """
    from finetune_cli.clean_view import print_plan
    from pipeline.clean.remove import clean as clean_now
    from pipeline.clean.remove import planned

    # What is removed is here, where the data need not be.
    loaded = load_for_cluster(config, overrides)
    print_plan(Console(), or_exit(lambda: (planned if dry_run else clean_now)(loaded)), dry_run)


def history(
    config: ConfigFile,
    overrides: Overrides = None,
    metric: Annotated[
        str | None, typer.Option(help="That is shown of each model; default: that of the first gate.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Tells what became of every run and version: metrics, decisions and reasons, refusals, approvals, rollbacks.

    It is collected from the summaries of runs, the records of pushed versions, and what `finetune clean` keeps of both.
    `<output_dir>/history.html` shows the same as a page, with metrics and drift as curves; each run brings it up to
    date.

    Exit code: 0, also where no run has ended yet; 1 what was kept cannot be read; 2 bad config or usage.
    """
    from finetune_cli.history_view import print_history
    from pipeline.history.collect import history_of, leading_metric, write_page
    from pipeline.history.events import events_of

    loaded = load_for_cluster(config, overrides)
    output, shown = loaded.output_path, metric or leading_metric(loaded)
    found = or_exit(lambda: history_of(output, loaded.push_path))
    events = events_of(found)
    if as_json:
        listed = [{**dataclasses.asdict(event), "at": event.at and event.at.isoformat()} for event in events]
        print(json.dumps({"served": found.served, "events": listed, **found.plain()}, ensure_ascii=False, default=vars))
        return
    console = Console(width=None if sys.stdout.isatty() else 200)
    print_history(console, events, shown, found.served)
    if output.is_dir():
        console.print(f"page  {write_page(output, found, shown, loaded.name)}", soft_wrap=True, highlight=False)

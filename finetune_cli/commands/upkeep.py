"""Commands about an output folder over time."""

from __future__ import annotations

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

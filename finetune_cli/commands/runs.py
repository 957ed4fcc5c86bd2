"""Commands that run the pipeline on this machine, and those about runs that are over."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from finetune.errors import ConfigError
from finetune.events import Event, Note, subscribe
from finetune.files import write_text
from finetune_cli.commands.common import (
    ConfigFile,
    ConfigOrData,
    Overrides,
    fail,
    load,
    named,
    or_exit,
    person,
    rank,
    silence_shutdown,
    track_served,
)
from finetune_cli.terminal import clean


def run(
    config: ConfigOrData,
    overrides: Overrides = None,
    summary: Annotated[Path | None, typer.Option(help="Also write the summary to this JSON file.")] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read all data to see whether they changed, not only sizes, times, inodes."),
    ] = False,
) -> None:
    """Runs the whole pipeline on this machine, from a config, or from data alone.

    Data alone are a folder with one subfolder of pictures per class, or a table of texts. Backbones (those of
    `backbone.weights_dir`, or what Keras has downloaded) are then ranked on them, and how to train is measured; the
    config that comes of it is left beside the result.

    What an earlier run has done already is taken from the cache: run the same command again after an interruption.
    Where nothing has changed since a run, its answer is given again at once.

    Exit code: 0 pushed, 3 refused by a gate or a check of the data, 4 waits for approval, 2 bad config or usage, 1
    failed.
    """
    from pipeline.local import run_pipeline

    _run(load(config, overrides), summary, lambda config: run_pipeline(config, verify))


def retrain(
    config: ConfigFile,
    overrides: Overrides = None,
    summary: Annotated[Path | None, typer.Option(help="Also write the summary to this JSON file.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the decision, and neither record that nor train.")
    ] = False,
) -> None:
    """Decides whether to train again, by what is new since the champion, and then runs the pipeline, or does not.

    Examples that neither the champion was made with nor a run since has judged are new. There are none: nothing to do,
    within seconds. There are some: ingest, Transform and the checks of the data run, and labels, frozen features and
    what the champion says of the new examples are compared with those before. `retrain` in the config has the bounds.

    While a candidate waits for approval, no other is trained. Where the data were refused, or nothing followed, the
    same data are not looked at again; `finetune run` trains on them all the same.

    Exit code: 0 pushed, 3 refused by a gate or a check of the data, 4 waits for approval, 5 nothing to do, 2 bad config
    or usage, 1 failed.
    """
    from finetune.artifacts.backbone_ranking import BackboneRanking
    from pipeline.retraining.retrain import explain as explained
    from pipeline.retraining.retrain import retrain as retrained

    loaded = load(config, overrides)
    if loaded.backbone.is_open and BackboneRanking.find(loaded.output_path):
        loaded = named(loaded)  # What was chosen once is compared with and stays.
    if not explain:
        _run(loaded, summary, retrained)
    if summary:
        fail(ConfigError(["--explain, --summary: got both; expected one, as what is explained leaves no summary"]))
    from finetune_cli.live_view import RunView
    from finetune_cli.summary_view import print_decision

    loaded, console = named(loaded), Console()
    with RunView(console, f"finetune retrain {loaded.name}"):
        decision = or_exit(lambda: explained(loaded))
    print_decision(console, decision)
    silence_shutdown()
    raise typer.Exit(decision.exit_code)


def watch(
    config: ConfigFile,
    overrides: Overrides = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the data.")] = 60.0,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which data have to stay as they are before they are read.")
    ] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="End when all that is there is decided on.")] = False,
) -> None:
    """Watches the data, and runs `finetune retrain` for each span that comes: once, one at a time, in their order.

    Without spans, the data are one, which comes again whenever they change. A span whose data change later comes again.
    What is done is what the metadata store says: after a kill or a reboot, start the same command, and it goes on.

    Exit code: 0 all that is there is decided on (with `--once`), or told to end; 2 bad config or usage, 1 failed.
    """
    from pipeline.retraining.watch import watch as watched

    loaded, console = named(load(config, overrides)), Console()
    command = [sys.executable, "-m", "finetune_cli.main", "retrain", str(config), *(overrides or [])]

    def retrained(spans: list[str]) -> None:
        # In a process of its own: what TensorFlow holds goes with it.
        subprocess.run([*command, *([f"data.spans=[{', '.join(spans)}]"] if spans else [])], check=False)

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            console.print(f"{at}  {clean(event.text)}", markup=False, highlight=False, soft_wrap=True)

    with subscribe(tell):
        or_exit(lambda: watched(loaded, retrained, every, settle, once))


def check_data(
    config: ConfigFile,
    overrides: Overrides = None,
    summary: Annotated[Path | None, typer.Option(help="Also write the summary to this JSON file.")] = None,
) -> None:
    """Checks the data before anything is trained: likely label errors and whatever else `data.checks` names.

    Ingest, statistics, Transform and the checks run as `finetune run` would run them, and are in the cache for it
    afterwards. The report shows what was found; `label_errors.csv` in the run's folder orders the examples by how
    little their label can be trusted.

    Exit code: 0 checked, 3 a check says `stop`, 2 bad config or usage, 1 failed.
    """
    from pipeline.local import check_data as checked

    _run(load(config, overrides), summary, checked)


def tune(
    config: ConfigFile,
    overrides: Overrides = None,
    summary: Annotated[Path | None, typer.Option(help="Also write the summary to this JSON file.")] = None,
) -> None:
    """Searches the training keys that `tuning.space` names, and trains nothing else.

    The first trial is the config as it is. Heads alone are trained many at a time, and all trials share what the frozen
    backbone gives. A search that was interrupted goes on where it was: start the same command again.

    The report has every trial, how much each key explains, and what the best score is worth once it is known that it
    was chosen. `finetune run` takes the search from the cache, and its Trainer the best values.

    Exit code: 0 searched, 3 a check of the data says `stop`, 2 bad config or usage, 1 failed.
    """
    from pipeline.local import tune as tuned

    _run(load(config, overrides), summary, tuned)


def demo(
    directory: Annotated[Path, typer.Option(help="Where images, backbone and run go.")] = Path("runs/digits"),
    overrides: Overrides = None,
) -> None:
    """Shows the whole pipeline on handwritten digits; needs no network, about a minute.

    A small backbone learns the digits 0 to 4; the pipeline then adapts it to 5 to 9 from 20 images of each.
    """
    from finetune_cli.demo import CONFIG, prepare
    from pipeline.local import run_pipeline

    console = Console()
    with console.status("Making images and a pretrained backbone from scikit-learn's handwritten digits"):
        made = or_exit(lambda: prepare(directory))
    console.print(made)
    places = [f"output_dir={directory}", f"data.root={directory}/images", f"backbone.weights={directory}/backbone.h5"]
    _run(load(CONFIG, [*places, *(overrides or [])]), None, run_pipeline)


def lr_find(
    config: ConfigFile,
    overrides: Overrides = None,
    phase: Annotated[str, typer.Option(help="Name of the phase to test, or its number.")] = "1",
    lowest: Annotated[float, typer.Option(help="The rate of the first step.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="The rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="How many rates to try, each on one batch.")] = 100,
    plot: Annotated[
        Path | None, typer.Option(help="PNG file of the curve; default: <output_dir>/lr-find/<phase>.png.")
    ] = None,
) -> None:
    """Suggests a learning rate for a phase, and draws the curve that it was read off.

    A range test: the phase trains for a hundred steps while the rate rises from step to step. Far too low a rate leaves
    the loss as it is, a good one lowers it, too high a one makes it explode; the test stops there. The suggestion is
    **a tenth of the rate at which the smoothed loss is lowest**. Look at the curve before you trust it: it should be
    flat at first, fall, and rise. Still flat at its end: raise `--highest`. Rising from the start: lower `--lowest`.

    The data are made ready as `finetune run` would, and are in the cache for it afterwards. The phases before the
    tested one are trained first, so that it is tested where it would begin: `--phase 2` takes as long as phase 1.
    Nothing that was trained here is kept.

    Then set it: `finetune run CONFIG training.phases[0].learning_rate=...`.

    Exit code: 0 suggested, 2 bad config or usage, 1 failed or nothing to suggest.
    """
    from finetune_cli.live_view import RunView
    from finetune_cli.lr_find import find_rate, print_found

    loaded, console = named(load(config, overrides)), Console()
    with RunView(console, f"finetune lr-find {loaded.name}"):
        found = or_exit(lambda: find_rate(loaded, phase, lowest, highest, steps, plot))
    print_found(console, found)
    silence_shutdown()


def report(
    run_dir: Annotated[Path, typer.Argument(help="A run's folder, or the output folder: its latest run is used.")],
) -> None:
    """Rebuilds report.html from what a run has saved."""
    from pipeline.saved_report import rebuild_report

    Console().print(or_exit(lambda: rebuild_report(run_dir)), soft_wrap=True)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or an output folder: its latest run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="The run to hold against it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Shows what sets two runs apart: config, data and code, and every metric with the interval of its difference.

    Both models are judged on the same test examples, those that both runs have, as pairs: a difference is shown to be
    one where its 95 % interval leaves out zero. It warns where more than one thing changed, since no difference can be
    put down to one of them then.

    Exit code: 0 compared, 2 there is no such run, or both are the same.
    """
    from finetune_cli.comparison_view import print_comparison
    from pipeline.comparison import compare_runs

    found = or_exit(lambda: compare_runs(first, second))
    if as_json:
        print(json.dumps(found.plain(), ensure_ascii=False, default=vars))
    else:
        print_comparison(Console(width=None if sys.stdout.isatty() else 160), found)


def approve(
    run: Annotated[
        Path,
        typer.Argument(help="A run's folder, the output folder (its latest run), or the folder of pushed versions."),
    ],
    by: Annotated[str | None, typer.Option(help="Who approves; default: you, on this machine.")] = None,
) -> None:
    """Pushes a model that passed its gates and waits for approval (`evaluation.approval: required`)."""
    from finetune_cli.approved_run import approve_run
    from pipeline.tracking import config_of

    approval = or_exit(lambda: approve_run(run, by or person()))
    track_served(config_of(run))
    word = "approved" if approval.new else "approved before"
    Console().print(
        f"[green]{word}[/green]  {approval.version}, by {escape(approval.by)} at {approval.at}",
        soft_wrap=True,
        highlight=False,
    )


def _run(config: Config, summary_file: Path | None, work: Callable[[Config], RunSummary]) -> NoReturn:
    from finetune_cli.live_view import RunView
    from finetune_cli.summary_view import print_summary
    from pipeline.notify.told import told

    console = Console()
    if summary_file and not summary_file.absolute().parent.is_dir():
        fail(ConfigError([f"--summary: got {str(summary_file)!r}; its folder does not exist"]))
    is_open = config.backbone.is_open
    if is_open:
        from finetune_cli.backbones import print_ranking
        from pipeline.backbone_choice import with_backbone

        ranking = rank(config, console)
        print_ranking(ranking, console)
        config = with_backbone(config, ranking)
    with RunView(console, f"finetune {config.name}"):
        summary = or_exit(lambda: told(config, work))
    print_summary(console, summary)
    if is_open and summary.status != "failed":
        from pipeline.auto_recipe import write_chosen

        console.print(
            f"config  {write_chosen(config, summary.search, summary.averaging)}", soft_wrap=True, highlight=False
        )
    if summary_file:
        write_text(summary_file, summary.text())
    silence_shutdown()
    raise typer.Exit(summary.exit_code)

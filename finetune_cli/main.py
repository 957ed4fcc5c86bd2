"""The `finetune` command. Each command imports what it needs when it runs, so that `validate` is quick."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from finetune.config import Config, load_config
from finetune.errors import ConfigError, FinetuneError
from finetune.files import write_text

REFUSED = 3
PENDING = 4
_Result = TypeVar("_Result")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Adapts a pretrained backbone to your own images, gates the result, and pushes it.",
    epilog="Start with `finetune demo`, then `finetune run configs/flowers.yaml data.root=YOUR_FOLDER`.",
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as configs/flowers.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Such as data.root=photos or training.phases[1].epochs=5."),
]


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    summary: Annotated[Path | None, typer.Option(help="Also write the summary to this JSON file.")] = None,
) -> None:
    """Runs the whole pipeline on this machine.

    What an earlier run has done already is taken from the cache: run the same command again after an interruption.

    Exit code: 0 pushed, 3 refused by a gate, 4 waits for approval, 2 bad config or usage, 1 failed.
    """
    _run(_load(config, overrides), summary)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where images, backbone and run go.")] = Path("runs/digits"),
    overrides: Overrides = None,
) -> None:
    """Shows the whole pipeline on handwritten digits; needs no network, about two minutes.

    A small backbone learns the digits 0 to 4; the pipeline then adapts it to 5 to 9 from 20 images of each.
    """
    from finetune_cli.demo import CONFIG, prepare

    console = Console()
    with console.status("Making images and a pretrained backbone from scikit-learn's handwritten digits"):
        made = _or_exit(lambda: prepare(directory))
    console.print(made)
    places = [f"output_dir={directory}", f"data.root={directory}/images", f"backbone.weights={directory}/backbone.h5"]
    _run(_load(CONFIG, [*places, *(overrides or [])]), None)


@app.command()
def validate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Checks a config and the files that it names, and reports every mistake at once."""
    loaded = _load(config, overrides)
    phases = f"{len(loaded.training.phases)} phases" if loaded.training.phases else "phases chosen by the Trainer"
    Console().print(f"[green]valid[/green]  {config}: pipeline {loaded.name}, {phases}")


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also build the backbone (ten seconds or more) and list what trains.")
    ] = False,
) -> None:
    """Prints what a run would do: nodes, phases, gates and places; with `--layers`, also which layers each phase trains
    and how many parameters they have."""
    from pipeline.plan import print_plan

    loaded, console = _load(config, overrides), Console()
    print_plan(loaded, console)
    if layers:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from finetune_cli.layer_plan import print_layers

        with Console(stderr=True).status("Building the backbone: loading TensorFlow"):
            _or_exit(lambda: print_layers(loaded, console))


@app.command(name="lr-find")
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

    loaded, console = _load(config, overrides), Console()
    with RunView(console, f"finetune lr-find {loaded.name}"):
        found = _or_exit(lambda: find_rate(loaded, phase, lowest, highest, steps, plot))
    print_found(console, found)
    _silence_shutdown()


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(help="List the blocks of this one, for `unfreeze`.")] = None,
) -> None:
    """Lists the backbones that `backbone.name` can name: size, range, parameters, blocks."""
    from finetune_cli.backbones import print_backbones, print_blocks

    console = Console(width=None if sys.stdout.isatty() else 200)
    _or_exit(lambda: print_blocks(name, console) if name else print_backbones(console))


@app.command()
def inspect(
    handle: Annotated[str, typer.Argument(help="URL of TF Hub or Kaggle Models, or the folder of a SavedModel.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Shows what a SavedModel takes and gives, before it is `backbone.handle`; nothing of it is run."""
    from finetune_cli.inspect import facts_of, print_facts

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    facts = _or_exit(lambda: facts_of(handle))
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print_facts(facts, Console(width=None if sys.stdout.isatty() else 160))


@app.command()
def predict(
    model_dir: Annotated[Path, typer.Argument(help="A pushed version, or the folder of versions: the newest is used.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Images, or files with one text each.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text itself; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each.")] = 3,
) -> None:
    """Classifies images or texts with a pushed model."""
    from finetune_cli.predict import predict as predict_all

    if not files and not text:
        _fail(ConfigError(["FILE: got none; expected files, or --text"]))
    rows = _or_exit(lambda: predict_all(model_dir, files or [], text or []))
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
    else:
        _print_predictions(rows, top)
    if any(row.get("error") for row in rows):
        raise typer.Exit(FinetuneError.exit_code)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="A run's folder, or the output folder: its latest run is used.")],
) -> None:
    """Rebuilds report.html from what a run has saved."""
    from pipeline.saved_report import rebuild_report

    Console().print(_or_exit(lambda: rebuild_report(run_dir)), soft_wrap=True)


@app.command()
def approve(
    run: Annotated[
        Path,
        typer.Argument(help="A run's folder, the output folder (its latest run), or the folder of pushed versions."),
    ],
    by: Annotated[str | None, typer.Option(help="Who approves; default: you, on this machine.")] = None,
) -> None:
    """Pushes a model that passed its gates and waits for approval (`evaluation.approval: required`)."""
    from finetune_cli.approved_run import approve_run

    approval = _or_exit(lambda: approve_run(run, by or _person()))
    word = "approved" if approval.new else "approved before"
    Console().print(
        f"[green]{word}[/green]  {approval.version}, by {escape(approval.by)} at {approval.at}",
        soft_wrap=True,
        highlight=False,
    )


@app.command()
def rollback(
    target: Annotated[
        Path,
        typer.Argument(metavar="CONFIG|PUSH_DIR", help="The config, the output folder, or that of versions."),
    ],
    overrides: Overrides = None,
    to: Annotated[
        int | None, typer.Option(min=1, help="Version whose model is to be served; default: the one before.")
    ] = None,
) -> None:
    """Serves an earlier version again: publishes its model under a new highest number."""
    from registry.versions import roll_back

    directory = _push_folder(target) if target.is_dir() else _load_for_cluster(target, overrides).push_path
    version, of = _or_exit(lambda: roll_back(directory, to, by=_person()))
    Console().print(f"[green]serving[/green]  {version}: the model of version {of}", soft_wrap=True, highlight=False)


KfpHost = Annotated[
    str, typer.Option("--host", envvar="KF_PIPELINES_ENDPOINT", help="URL of the Kubeflow Pipelines API.")
]
KfpToken = Annotated[
    str | None, typer.Option("--token", envvar="KF_PIPELINES_TOKEN", help="Bearer token, where the server wants one.")
]
KfpParameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Of the package; may be repeated.")
]
Send = Annotated[bool, typer.Option("--send/--dry-run", help="Send it, or show what would be sent.")]


@app.command(name="compile")
def compile_(
    config: ConfigFile,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file to write.")] = Path("pipeline.yaml"),
) -> None:
    """Writes the pipeline as a package for Kubeflow Pipelines; `kubernetes:` in the config says where nodes run.

    Relative paths in the config are then paths on the volume that all nodes share.
    """
    loaded = _load_for_cluster(config, overrides)
    _compile(loaded, output)
    Console().print(f"[green]compiled[/green]  {output}: {output.stat().st_size / 1024:.0f} KiB", soft_wrap=True)


@app.command()
def submit(
    config: ConfigFile,
    overrides: Overrides = None,
    host: KfpHost = "http://localhost:8888",
    token: KfpToken = None,
    parameter: KfpParameters = None,
    send: Send = False,
    follow: Annotated[bool, typer.Option(help="Wait for the end of the run.")] = True,
) -> None:
    """Runs the pipeline on Kubernetes, once. Shows what would be sent, unless `--send` is given.

    Exit code: 0 sent and, if followed, succeeded; 1 failed.
    """
    with _request(config, overrides, parameter, None, host, send) as (package, request):
        from finetune_kubeflow.client.submit import Server

        server = _or_exit(lambda: Server(host, request.namespace, token))
        run_id, link = _or_exit(lambda: server.run(package, request))
    print(f"run {run_id}\n{link}")
    if follow and _or_exit(lambda: server.follow(run_id, print)) != "SUCCEEDED":
        raise typer.Exit(FinetuneError.exit_code)


@app.command()
def schedule(
    config: ConfigFile,
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month, weekday, such as '0 3 * * 1'.")],
    overrides: Overrides = None,
    host: KfpHost = "http://localhost:8888",
    token: KfpToken = None,
    parameter: KfpParameters = None,
    send: Send = False,
) -> None:
    """Runs the pipeline on Kubernetes again and again, in place of its earlier schedule."""
    with _request(config, overrides, parameter, cron, host, send) as (package, request):
        from finetune_kubeflow.client.submit import Server

        server = _or_exit(lambda: Server(host, request.namespace, token))
        schedule_id, link = _or_exit(lambda: server.schedule(package, request))
    print(f"recurring run {schedule_id}\n{link}")


@app.command()
def replay(
    package: Annotated[Path, typer.Argument(help="YAML file from `finetune compile`.")],
    workspace: Annotated[Path, typer.Option(help="Folder for volumes, metadata and logs.")],
    parameter: KfpParameters = None,
    volume: Annotated[
        list[str] | None, typer.Option(metavar="CLAIM=FOLDER", help="A folder of yours in place of a claim.")
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="Folder of files SECRET/KEY; default: metadata in SQLite.")
    ] = None,
) -> None:
    """Runs a compiled package without a cluster, each task as a process of its own."""

    def show(result: Any) -> None:
        attempts = f", {len(result.attempts)} attempts" if len(result.attempts) > 1 else ""
        print(f"{result.state:7} {result.name}  {result.seconds:.0f} s{attempts}", flush=True)

    from finetune_kubeflow.replay.run import replay as replay_package

    parameters, volumes = _pairs("--parameter", parameter), _pairs("--volume", volume)
    folders = {claim: Path(folder) for claim, folder in volumes.items()}
    results = _or_exit(lambda: replay_package(package, workspace, parameters, folders, secrets, on_result=show))
    if results[-1].state == "failed":
        print(f"the log: {results[-1].log}", file=sys.stderr)
        raise typer.Exit(FinetuneError.exit_code)


def main() -> None:
    """Entry point of the console script."""
    # Google's client libraries announce, on import, the end of support for Python versions to come.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    # tensorflow_hub imports it.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    app()


def _push_folder(folder: Path) -> Path:
    """The folder of versions: this one, or the one that an output folder has by default."""
    inner = folder / "pushed"
    return inner if inner.is_dir() else folder


def _person() -> str:
    """Who gives the command, such as ann@build7."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _load(path: Path, overrides: list[str] | None) -> Config:
    from pipeline.checks import LOCAL_CHECKS

    return _or_exit(lambda: load_config(path, overrides or [], checks=LOCAL_CHECKS))


def _load_for_cluster(path: Path, overrides: list[str] | None) -> Config:
    """The files that it names are on the cluster's volume, not here."""
    from pipeline.checks import CHECKS

    return _or_exit(lambda: load_config(path, overrides or [], checks=CHECKS))


def _compile(config: Config, output: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from finetune_kubeflow.compile import compile_package

    with Console(stderr=True).status("Compiling: loading TFX"):
        _or_exit(lambda: compile_package(config, output))


@contextmanager
def _request(
    config: Path, overrides: list[str] | None, parameters: list[str] | None, cron: str | None, host: str, send: bool
) -> Iterator[tuple[Path, Any]]:
    """Compiles a package for the time of the block, and ends the program after showing it if nothing is to be sent."""
    from finetune_kubeflow.client.submit import request as make_request

    loaded = _load_for_cluster(config, overrides)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        _compile(loaded, package)
        settings = loaded.kubernetes
        given = _pairs("--parameter", parameters)
        request = _or_exit(lambda: make_request(package, settings.namespace, settings.service_account, given, cron))
        if not send:
            print(request.sentences(host))
            Console(stderr=True).print("Nothing was sent. Add --send to send it.", style="yellow")
            raise typer.Exit()
        yield package, request


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    wrong = [text for text in texts or [] if not text.partition("=")[0] or "=" not in text]
    if wrong:
        _fail(ConfigError(f"{option}: got {text!r}; expected NAME=VALUE" for text in wrong))
    return dict(text.split("=", 1) for text in texts or [])


def _run(config: Config, summary_file: Path | None) -> NoReturn:
    from finetune_cli.live_view import RunView
    from finetune_cli.summary_view import print_summary
    from pipeline.local import run_pipeline

    console = Console()
    if summary_file and not summary_file.absolute().parent.is_dir():
        _fail(ConfigError([f"--summary: got {str(summary_file)!r}; its folder does not exist"]))
    with RunView(console, f"finetune {config.name}"):
        summary = _or_exit(lambda: run_pipeline(config))
    print_summary(console, summary)
    if summary_file:
        write_text(summary_file, summary.text())
    _silence_shutdown()
    raise typer.Exit(
        {"pushed": 0, "refused": REFUSED, "pending": PENDING, "failed": FinetuneError.exit_code}[summary.status]
    )


def _silence_shutdown() -> None:
    """TensorFlow prints tracebacks of no consequence while the interpreter takes its modules apart."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _or_exit(action: Callable[[], _Result]) -> _Result:
    try:
        return action()
    except FinetuneError as error:
        _fail(error)


def _fail(error: FinetuneError) -> NoReturn:
    console = Console(stderr=True)
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        console.print(f"[red]{len(error.problems)} mistakes[/red]")
    for line in str(error).splitlines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(error.exit_code)


def _print_predictions(rows: list[dict[str, Any]], top: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("file or text", "label", "next", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Without markup: a text may have brackets in it.
        shown = Text(row["file"] if "file" in row else " ".join(row["text"].split())[:60])
        if row.get("error"):
            table.add_row(shown, "[red]not used[/red]", Text(row["error"]))
            continue
        said = row["labels"] if "labels" in row else [row["label"]]
        ranked = sorted(row["probabilities"], key=lambda name: -row["probabilities"][name])
        others = [name for name in ranked if name not in said][: max(top - len(said), 0)]
        answers = ("  ".join(f"{name} {row['probabilities'][name]:.3f}" for name in names) for names in (said, others))
        table.add_row(shown, *map(Text, answers))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()

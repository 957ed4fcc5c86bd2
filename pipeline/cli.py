"""The `finetune` command. Each command imports what it needs when it runs, so that `validate` is quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from pipeline.config import Config, load_config
from pipeline.errors import ConfigError, FinetuneError

REFUSED = 3

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

    Exit code: 0 pushed, 3 refused by a gate, 2 bad config or usage, 1 failed.
    """
    _run(_load(config, overrides), summary)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where images, backbone and run go.")] = Path("runs/digits"),
    overrides: Overrides = None,
) -> None:
    """Shows the whole pipeline on handwritten digits; needs no network, about three minutes.

    A small backbone learns the digits 0 to 4; the pipeline then adapts it to 5 to 9 from 20 images of each.
    """
    from pipeline.demo import CONFIG, prepare

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
    Console().print(f"[green]valid[/green]  {config}: pipeline {loaded.name}, {len(loaded.training.phases)} phases")


@app.command()
def plan(config: ConfigFile, overrides: Overrides = None) -> None:
    """Prints what a run would do: nodes, phases, gates and places."""
    from pipeline.plan import print_plan

    print_plan(_load(config, overrides), Console())


@app.command()
def backbones() -> None:
    """Lists the backbones that `backbone.name` can name."""
    from pipeline.plan import print_backbones

    print_backbones(Console())


@app.command()
def predict(
    model_dir: Annotated[Path, typer.Argument(help="A pushed version, or the folder of versions: the newest is used.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Image files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each file.")] = 3,
) -> None:
    """Classifies image files with a pushed model."""
    from pipeline.predict import predict_files

    rows = _or_exit(lambda: predict_files(model_dir, files))
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


def main() -> None:
    """Entry point of the console script."""
    app()


def _load(path: Path, overrides: list[str] | None) -> Config:
    from pipeline.checks import backbone_exists, files_exist

    return _or_exit(lambda: load_config(path, overrides or [], checks=[backbone_exists, files_exist]))


def _run(config: Config, summary_file: Path | None) -> NoReturn:
    from pipeline.console import RunView, print_summary
    from pipeline.local import run_pipeline
    from pipeline.saved_report import write_json

    console = Console()
    if summary_file and not summary_file.absolute().parent.is_dir():
        _fail(ConfigError([f"--summary: got {str(summary_file)!r}; its folder does not exist"]))
    with RunView(console, f"finetune {config.name}"):
        summary = _or_exit(lambda: run_pipeline(config))
    print_summary(console, summary)
    if summary_file:
        write_json(summary_file, summary)
    raise typer.Exit({"pushed": 0, "refused": REFUSED, "failed": FinetuneError.exit_code}[summary["status"]])


def _or_exit(action: Callable[[], Any]) -> Any:
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

    table = Table("file", "label", "probability", "next", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        if row.get("error"):
            table.add_row(row["file"], "[red]not used[/red]", "", row["error"])
            continue
        first, *others = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:top]
        table.add_row(row["file"], first[0], f"{first[1]:.3f}", "  ".join(f"{name} {p:.3f}" for name, p in others))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()

"""What commands share: arguments, reading a config, and how an error of ours ends the program."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console

from finetune.artifacts.backbone_ranking import BackboneRanking
from finetune.config import Config, checked_config, load_config
from finetune.errors import ConfigError, FinetuneError
from finetune.events import Event, Note, subscribe

Result = TypeVar("Result")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as configs/flowers.yaml.")]
ConfigOrData = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG|DATA",
        help="YAML file, such as configs/flowers.yaml; or a folder with a subfolder of pictures per class, or a table "
        "of texts (.csv, .tsv, .jsonl): backbone and training are then chosen by measurement.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Such as data.root=photos or training.phases[1].epochs=5."),
]


def load(path: Path, overrides: list[str] | None) -> Config:
    from pipeline.auto_recipe import is_data, recipe_for
    from pipeline.checks import LOCAL_CHECKS

    if is_data(path):
        return or_exit(lambda: checked_config(recipe_for(path), overrides or [], checks=LOCAL_CHECKS))
    return or_exit(lambda: load_config(path, overrides or [], checks=LOCAL_CHECKS))


def named(config: Config) -> Config:
    """Of a config that leaves its backbone to a ranking, the one that was chosen is taken."""
    from pipeline.backbone_choice import decided

    return or_exit(lambda: decided(config))


def load_for_cluster(path: Path, overrides: list[str] | None) -> Config:
    """The files that it names are on the cluster's volume, not here."""
    from pipeline.checks import CHECKS

    return or_exit(lambda: load_config(path, overrides or [], checks=CHECKS))


def rank(config: Config, console: Console) -> BackboneRanking:
    """Ranks the candidates of a config whose `backbone.name` is `auto`, with a live view."""
    from finetune_cli.live_view import RunView
    from pipeline.backbone_choice import choose_backbone

    if not config.backbone.is_open:
        fail(
            ConfigError([f"backbone.name: got {config.backbone.name!r}; expected 'auto', which has candidates to rank"])
        )
    with RunView(console, f"finetune {config.name}: ranking backbones"):
        return or_exit(lambda: choose_backbone(config))


def or_exit(action: Callable[[], Result]) -> Result:
    try:
        return action()
    except FinetuneError as error:
        fail(error)


def fail(error: FinetuneError) -> NoReturn:
    console = Console(stderr=True)
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        console.print(f"[red]{len(error.problems)} mistakes[/red]")
    for line in str(error).splitlines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(error.exit_code)


def track_served(config: Config | None) -> None:
    """Has MLflow told that another version is served now, where the config names a server."""
    if config is None or config.tracking.mlflow is None:
        return
    from finetune_cli.terminal import clean
    from pipeline.tracking import tell_served

    console = Console(stderr=True)

    def show(event: Event) -> None:
        if isinstance(event, Note):
            console.print(clean(event.text), markup=False, highlight=False, soft_wrap=True)

    with subscribe(show):
        tell_served(config)


def person() -> str:
    """Who gives the command, such as ann@build7."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def silence_shutdown() -> None:
    """TensorFlow prints tracebacks of no consequence while the interpreter takes its modules apart."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

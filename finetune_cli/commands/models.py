"""Commands about models: backbones to begin with, and pushed ones."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from finetune.errors import ConfigError, FinetuneError
from finetune.serving_log import SEPARATOR, ServedRow, write_serving_log
from finetune_cli.commands.common import (
    ConfigFile,
    Overrides,
    fail,
    load,
    load_for_cluster,
    or_exit,
    person,
    rank,
    silence_shutdown,
    track_served,
)
from transforms.features import BETWEEN_TEXTS


def backbones(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="List the blocks of this one, for `unfreeze`.")
    ] = None,
    overrides: Overrides = None,
    on: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Rank those that this config names (`backbone.name: auto`) on its data."),
    ] = None,
) -> None:
    """Lists the backbones that `backbone.name` can name: size, range, parameters, blocks.

    With `--on CONFIG`, ranks its candidates: logistic regression on what each gives of your training examples, by
    cross-validation, beside what one example costs. Nothing is trained. `finetune run CONFIG` takes the best.
    """
    from finetune_cli.backbones import print_backbones, print_blocks, print_ranking

    console = Console(width=None if sys.stdout.isatty() else 200)
    if on:
        words = [word for word in (name, *(overrides or [])) if word]
        ranking = rank(load(on, words), console)
        print_ranking(ranking, console)
        silence_shutdown()
        return
    or_exit(lambda: print_blocks(name, console) if name else print_backbones(console))


def inspect(
    handle: Annotated[str, typer.Argument(help="URL of TF Hub or Kaggle Models, or the folder of a SavedModel.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Shows what a SavedModel takes and gives, before it is `backbone.handle`; nothing of it is run."""
    from finetune_cli.inspect import facts_of, print_facts

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    facts = or_exit(lambda: facts_of(handle))
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print_facts(facts, Console(width=None if sys.stdout.isatty() else 160))


def predict(
    model_dir: Annotated[Path, typer.Argument(help="A pushed version, or the folder of versions: the newest is used.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Images, or files with one text each; or folders of them."),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text itself; may be repeated.")] = None,
    text_pair: Annotated[
        list[str] | None, typer.Option(help="The second text of a pair; one for each --text, in their order.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="A text that stands for a class, repeated for each: classifies by these (`fusion: contrastive`)."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the mask of each picture there, in its own size (segmentation)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Write a table instead, as `data.serving_log` takes it (docs/serving.md)."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each.")] = 3,
) -> None:
    """Asks a pushed model about images, sounds or texts."""
    from finetune_cli.predict import files_in
    from finetune_cli.predict import predict as predict_each

    if not files and not text:
        fail(ConfigError(["FILE: got none; expected files, folders, or --text"]))
    if text_pair and len(text_pair) != len(text or []):
        fail(ConfigError([f"--text-pair: got {len(text_pair)} for {len(text or [])} of --text; expected one for each"]))
    texts = list(map(BETWEEN_TEXTS.join, zip(text or [], text_pair, strict=True))) if text_pair else text or []
    errors = 0

    def answers() -> Iterator[dict[str, Any]]:
        nonlocal errors
        for row in predict_each(model_dir, files_in(files or []), texts, prompt or [], masks):
            errors += "error" in row
            yield row

    def show() -> None:
        if output:
            written = write_serving_log(output, map(_logged, answers()))
            Console(stderr=True).print(f"{output}: {written:,} rows, {errors:,} of them not used", soft_wrap=True)
        elif as_json:
            for row in answers():
                print(json.dumps(row, ensure_ascii=False))
        else:
            _print_predictions(answers(), top)

    or_exit(show)
    if errors:
        raise typer.Exit(FinetuneError.exit_code)


def _logged(row: dict[str, Any]) -> ServedRow:
    """Returns the row of a serving log: paths are whole, as the log may lie elsewhere."""
    said = row["labels"] if "labels" in row else [row["label"]] if "label" in row else []
    return ServedRow(
        path=os.path.abspath(row["file"]) if "file" in row else "",
        text=row.get("text", ""),
        label=SEPARATOR.join(said),
        probability=max(row["probabilities"].values()) if "probabilities" in row else None,
        error=row.get("error", ""),
    )


def apply_adapter(
    adapter: Annotated[
        Path, typer.Argument(help="adapter.safetensors of a run with training.peft, or the folder that it is in.")
    ],
    config: ConfigFile,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What to write: .h5 of a backbone by name, .keras of a file, a folder of BERT."
        ),
    ] = None,
) -> None:
    """Merges an adapter into the backbone of a config, and writes the backbone to a file that configs can name.

    It goes on the weights that it was trained on, and on no others.
    """
    from finetune_cli.apply_adapter import apply_adapter as apply

    loaded = load_for_cluster(config, overrides)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    key, changed = or_exit(lambda: apply(adapter, loaded, output))
    Console().print(
        f"[green]written[/green]  {output}: {changed} variables changed; use it as {key}",
        soft_wrap=True,
        highlight=False,
    )
    silence_shutdown()


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
    from pipeline.tracking import config_of
    from registry.versions import roll_back

    config = config_of(target) if target.is_dir() else load_for_cluster(target, overrides)
    directory = _push_folder(target) if config is None or target.is_dir() else config.push_path
    version, of = or_exit(lambda: roll_back(directory, to, by=person()))
    track_served(config)
    Console().print(f"[green]serving[/green]  {version}: the model of version {of}", soft_wrap=True, highlight=False)


def _push_folder(folder: Path) -> Path:
    """The folder of versions: this one, or the one that an output folder has by default."""
    inner = folder / "pushed"
    return inner if inner.is_dir() else folder


def _print_predictions(rows: Iterable[dict[str, Any]], top: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("file or text", "label", "next", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Without markup: a text may have brackets in it.
        said_in = " ".join(row.get("text", "").split())[:60]
        shown = Text(": ".join(each for each in (row.get("file", ""), said_in) if each))
        if row.get("error"):
            table.add_row(shown, "[red]not used[/red]", Text(row["error"]))
            continue
        said = row["labels"] if "labels" in row else [row["label"]]
        ranked = sorted(row["probabilities"], key=lambda name: -row["probabilities"][name])
        others = [name for name in ranked if name not in said][: max(top - len(said), 0)]
        found = Counter(each["label"] for each in row.get("objects", ()))
        counted = {name: f"{count} x {name}" for name, count in found.items()}
        counted |= {name: f"{share:.0%} {name}" for name, share in row.get("shares", {}).items()}
        answers = (
            "  ".join(f"{counted.get(name, name)} {row['probabilities'][name]:.3f}" for name in names)
            for names in (said, others)
        )
        table.add_row(shown, *map(Text, answers))
    Console(width=None if sys.stdout.isatty() else 160).print(table)

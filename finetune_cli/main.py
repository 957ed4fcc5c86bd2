"""The `finetune` command."""

from __future__ import annotations

import warnings

import typer

from finetune_cli.commands import cluster, configs, models, runs, upkeep

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Adapts a pretrained backbone to your own images, sounds or texts, gates the result, and pushes it.",
    epilog="Start with `finetune demo`, then `finetune run YOUR_FOLDER`, or with a config: "
    "`finetune run configs/flowers.yaml data.root=YOUR_FOLDER`.",
)

app.command()(runs.run)
app.command()(runs.retrain)
app.command()(runs.watch)
app.command()(runs.demo)
app.command()(configs.validate)
app.command()(configs.plan)
app.command(name="check-data")(runs.check_data)
app.command()(runs.tune)
app.command(name="lr-find")(runs.lr_find)
app.command()(models.backbones)
app.command()(models.inspect)
app.command()(models.predict)
app.command(name="apply-adapter")(models.apply_adapter)
app.command()(runs.report)
app.command()(runs.compare)
app.command()(upkeep.history)
app.command()(upkeep.clean)
app.command()(runs.approve)
app.command()(models.rollback)
app.command(name="compile")(cluster.compile_)
app.command()(cluster.submit)
app.command()(cluster.schedule)
app.add_typer(cluster.schedules, name="schedules")
app.command()(cluster.replay)


def main() -> None:
    """Entry point of the console script."""
    # Google's client libraries announce, on import, the end of support for Python versions to come.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    # tensorflow_hub imports it.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    app()


if __name__ == "__main__":
    main()

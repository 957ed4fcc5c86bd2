"""Commands about Kubernetes: the pipeline as a package, sent or replayed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from finetune.config import load_placement
from finetune.config.kubernetes import KubernetesConfig
from finetune.errors import ConfigError
from finetune_cli.commands.common import Overrides, fail, load_for_cluster, named, or_exit
from finetune_cli.commands.kfp_access import with_access
from finetune_kubeflow.client.submit import ZONE, Access, Server
from finetune_kubeflow.client.submit import request as make_request

KfpInterface = Annotated[
    str | None,
    typer.Option(
        "--ui",
        envvar="KF_PIPELINES_UI_ENDPOINT",
        help="URL of the interface, for links; default: the host, with port 8080 in place of 8888.",
    ),
]
KfpNamespace = Annotated[str, typer.Option("--namespace", help="Of the schedules, where the server has several.")]
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="Of the pipeline; or the id of its schedule.")]
KfpParameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Of the package; may be repeated.")
]
ConfigOrPlacement = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG",
        help="YAML file, such as configs/flowers.yaml; with --pipeline, one of `kubernetes:` alone, or none.",
    ),
]
OwnPipeline = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        metavar="MODULE:FUNCTION",
        help="A TFX pipeline of yours in place of a config: the function that returns it, which takes no arguments; "
        "its module is in this folder, or installed.",
    ),
]
Decides = Annotated[
    bool,
    typer.Option("--retrain", help="Decide first, as `finetune retrain` does, and run where it says to train."),
]
Send = Annotated[bool, typer.Option("--send/--dry-run", help="Send it, or show what would be sent.")]


def compile_(
    config: ConfigOrPlacement = None,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file to write.")] = Path("pipeline.yaml"),
    pipeline: OwnPipeline = None,
    retrain: Decides = False,
) -> None:
    """Writes the pipeline as a package for Kubeflow Pipelines; `kubernetes:` in the config says where nodes run.

    Relative paths in the config are then paths on the volume that all nodes share.

    With `--pipeline taxi.pipeline:create_pipeline` it is the TFX pipeline that the function returns, of whichever
    components, and its nodes run as TFX's LocalDagRunner runs them: `finetune compile --pipeline
    taxi.pipeline:create_pipeline kubernetes.defaults.image=IMAGE`. Docs: any-pipeline.md.
    """
    _source(config, overrides, pipeline, retrain).compile(output)
    Console().print(f"[green]compiled[/green]  {output}: {output.stat().st_size / 1024:.0f} KiB", soft_wrap=True)


@with_access
def submit(
    access: Access,
    config: ConfigOrPlacement = None,
    overrides: Overrides = None,
    ui: KfpInterface = None,
    parameter: KfpParameters = None,
    pipeline: OwnPipeline = None,
    retrain: Decides = False,
    send: Send = False,
    follow: Annotated[bool, typer.Option(help="Wait for the end of the run.")] = True,
) -> None:
    """Runs the pipeline on Kubernetes, once. Shows what would be sent, unless `--send` is given.

    Exit code, as that of `run`: 0 pushed, 3 refused by a gate, 4 waits for approval, 2 bad config or usage, 1 failed;
    with `--retrain`, 5 is nothing to do, and 3 says that the data were refused, too.
    Without `--follow`, 0 says that it was sent.
    """
    source = _source(config, overrides, pipeline, retrain)
    with _request(source, parameter, None, access.host, send) as (package, request):
        server = _server(replace(access, interface=ui), request.namespace)
        _tell_about_account(server, request)
        run_id, link = or_exit(lambda: server.run(package, request))
    print(f"run {run_id}\n{link}", flush=True)
    if follow:
        raise typer.Exit(or_exit(lambda: server.follow(run_id, partial(print, flush=True))))


@with_access
def schedule(
    access: Access,
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month, weekday, such as '0 3 * * 1'.")],
    config: ConfigOrPlacement = None,
    overrides: Overrides = None,
    ui: KfpInterface = None,
    parameter: KfpParameters = None,
    pipeline: OwnPipeline = None,
    send: Send = False,
) -> None:
    """Retrains on Kubernetes again and again, in place of the pipeline's earlier schedule.

    Each time it decides first, as `finetune retrain` does, and the run ends there if there is nothing to do. A pipeline
    of `--pipeline` runs each time; its cache says what there is to do.

    The hours of `--cron` are those of the server, UTC as a rule.
    """
    source = _source(config, overrides, pipeline, pipeline is None)
    with _request(source, parameter, cron, access.host, send) as (package, request):
        server = _server(replace(access, interface=ui), request.namespace)
        _tell_about_account(server, request)
        schedule_id, link = or_exit(lambda: server.schedule(package, request))
    print(f"recurring run {schedule_id}, {ZONE}\n{link}")


schedules = typer.Typer(no_args_is_help=True, help="Lists, pauses, resumes and deletes schedules on Kubernetes.")


@schedules.command("list")
@with_access
def list_schedules(access: Access, namespace: KfpNamespace = "kubeflow") -> None:
    """Lists the schedules: name, id, cron (seconds first, in the server's time zone), active or paused."""
    for one in or_exit(_server(access, namespace).schedules):
        print(f"{one.name}\t{one.id}\t{one.cron}\t{'active' if one.active else 'paused'}")


@schedules.command()
@with_access
def pause(access: Access, name: ScheduleName, namespace: KfpNamespace = "kubeflow") -> None:
    """Pauses a schedule: no run of it starts until it is resumed."""
    _change("pause", name, _server(access, namespace))


@schedules.command()
@with_access
def resume(access: Access, name: ScheduleName, namespace: KfpNamespace = "kubeflow") -> None:
    """Resumes a schedule that was paused; what it has missed is not caught up."""
    _change("resume", name, _server(access, namespace))


@schedules.command()
@with_access
def delete(access: Access, name: ScheduleName, namespace: KfpNamespace = "kubeflow") -> None:
    """Deletes a schedule; its runs stay."""
    _change("delete", name, _server(access, namespace))


def _change(change: Literal["pause", "resume", "delete"], name: str, server: Server) -> None:
    changed = or_exit(lambda: server.change_schedule(name, change))
    print(f"{change}d {changed.name} ({changed.id})")


def _tell_about_account(server: Server, request: Any) -> None:
    if told := or_exit(lambda: server.about_account(request)):
        Console(stderr=True).print(told, style="yellow", markup=False, soft_wrap=True)


def _server(access: Access, namespace: str) -> Server:
    return or_exit(lambda: Server(access, namespace))


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
    """Runs a compiled package without a cluster, each task as a process of its own, side by side where they may.

    Exit code, as that of `retrain`: 0 pushed, 3 refused by a gate or a check of the data, 4 waits for approval, 5
    nothing to do, 2 bad package or usage, 1 failed.
    """

    def show(result: Any) -> None:
        attempts = f", {len(result.attempts)} attempts" if len(result.attempts) > 1 else ""
        print(f"{result.state:7} {result.name}  {result.seconds:.0f} s{attempts}", flush=True)
        for node, state in result.nodes.items() if len(result.nodes) > 1 else ():
            print(f"        {state:7} {node}", flush=True)

    from finetune_kubeflow.replay.run import exit_code_of
    from finetune_kubeflow.replay.run import replay as replay_package

    parameters, volumes = _pairs("--parameter", parameter), _pairs("--volume", volume)
    folders = {claim: Path(folder) for claim, folder in volumes.items()}
    results = or_exit(lambda: replay_package(package, workspace, parameters, folders, secrets, on_result=show))
    for failed in (result for result in results if result.state == "failed"):
        print(f"the log: {failed.log}", file=sys.stderr)
    raise typer.Exit(exit_code_of(results))


@dataclass(frozen=True)
class _Source:
    """What a package is made of, and where its nodes run."""

    settings: KubernetesConfig
    write: Callable[[Path], None]

    def compile(self, output: Path) -> None:
        """Writes the package."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with Console(stderr=True).status("Compiling: loading TFX"):
            or_exit(lambda: self.write(output))


def _source(config: Path | None, overrides: list[str] | None, pipeline: str | None, decides: bool) -> _Source:
    """The config, or the TFX pipeline `module:function` with the placement in place of a config."""
    if pipeline is None:
        if config is None:
            fail(ConfigError(["CONFIG: missing; expected a YAML file, or --pipeline MODULE:FUNCTION"]))
        loaded = named(load_for_cluster(config, overrides))

        def write_config(output: Path) -> None:
            from finetune_kubeflow.compile import compile_package

            compile_package(loaded, output, decides)

        return _Source(loaded.kubernetes, write_config)
    if decides:
        fail(ConfigError(["--retrain: decides about the pipeline of a config; leave it out, or --pipeline"]))
    if config is not None and "=" in str(config) and not config.exists():
        # The file may be left out before overrides.
        config, overrides = None, [str(config), *(overrides or [])]
    settings = or_exit(lambda: load_placement(config, overrides or []))

    def write_own(output: Path) -> None:
        from finetune_kubeflow.tfx_pipeline import compile_pipeline, load_pipeline

        compile_pipeline(load_pipeline(pipeline), output, settings)

    return _Source(settings, write_own)


@contextmanager
def _request(
    source: _Source, parameters: list[str] | None, cron: str | None, host: str, send: bool
) -> Iterator[tuple[Path, Any]]:
    """Compiles a package for the time of the block, and ends the program after showing it if nothing is to be sent."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        source.compile(package)
        settings = source.settings
        given = _pairs("--parameter", parameters)
        request = or_exit(lambda: make_request(package, settings.namespace, settings.service_account, given, cron))
        if not send:
            print(request.sentences(host))
            Console(stderr=True).print("Nothing was sent. Add --send to send it.", style="yellow")
            raise typer.Exit()
        yield package, request


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    wrong = [text for text in texts or [] if not text.partition("=")[0] or "=" not in text]
    if wrong:
        fail(ConfigError(f"{option}: got {text!r}; expected NAME=VALUE" for text in wrong))
    return dict(text.split("=", 1) for text in texts or [])

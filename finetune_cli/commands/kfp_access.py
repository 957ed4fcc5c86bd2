"""The options that say where Kubeflow Pipelines is and what it lets one in with, for every command that asks it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from finetune_kubeflow.client.submit import Access


def _options(
    host: Annotated[
        str, typer.Option(envvar="KF_PIPELINES_ENDPOINT", help="URL of the Kubeflow Pipelines API.")
    ] = "http://localhost:8888",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="KF_PIPELINES_TOKEN",
            help="Bearer token, where the server wants one. In a pod, KFP's mounted service account token is found.",
        ),
    ] = None,
    cookies: Annotated[
        str | None,
        typer.Option(envvar="KF_PIPELINES_COOKIES", help="For a server behind a login: NAME=VALUE; ..."),
    ] = None,
    ca: Annotated[
        str | None, typer.Option(envvar="KF_PIPELINES_CA", help="File of certificates that the server's is from.")
    ] = None,
) -> Access:
    return Access(host, token, cookies, ca)


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command these options, and an Access made of them as its parameter `access`."""
    added = inspect.signature(_options, eval_str=True).parameters

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        command(access=_options(**{name: given.pop(name) for name in added}), **given)

    signature = inspect.signature(command, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name != "access"]
    optional = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in added.values()]
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *optional]
    # Typer reads either.
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
    return wrapped

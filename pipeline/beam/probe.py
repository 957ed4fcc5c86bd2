"""A look at what the workers of a runner have, before they are given work."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import apache_beam as beam

from finetune.errors import RunError
from pipeline.code_digest import installed

_MEND = "Give the workers the image, or the environment, that runs the pipeline (docs/scale.md)."


def check_workers(arguments: Sequence[str], folder: str, paths: Sequence[str]) -> None:
    """Runs a job of one element, whose worker tells what it has.

    Args:
        arguments: Options of Beam.
        folder: Of this run; it is shared with the workers.
        paths: What the workers are going to read.

    Raises:
        RunError: No worker ran it, one without this package or with another code of it did, or the worker sees another
            `folder`, or lacks a path.
    """
    target = os.path.join(folder, f"probe-{uuid.uuid4().hex}.json")
    os.makedirs(folder, exist_ok=True)
    shown = " ".join(arguments)
    try:
        with beam.Pipeline(argv=list(arguments)) as pipeline:
            _ = pipeline | beam.Create([list(paths)], reshuffle=False) | beam.Map(look, target)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        what = "no worker ran a job of one line."
        if "ModuleNotFoundError" in told:
            what = f"the workers lack a package of this environment. {_MEND}"
        raise RunError(f"beam: got {shown}; {what} The runner says: {_telling_line(told)}") from error
    try:
        with open(target, encoding="utf-8") as file:
            theirs = json.load(file)
        os.remove(target)
    except FileNotFoundError:
        raise RunError(
            f"beam: got {shown}; the workers do not share {folder}: what one wrote there is not seen here. Mount the "
            "folder of the run where workers run, under the same path."
        ) from None
    ours = facts()
    different = [f"{name} {theirs[name]} there, {ours[name]} here" for name in ours if theirs[name] != ours[name]]
    if different:
        raise RunError(f"beam: got {shown}; the workers run something else: {'; '.join(different)}. {_MEND}")
    if theirs["missing"]:
        raise RunError(
            f"beam: got {shown}; the workers see nothing at {', '.join(theirs['missing'])}. Mount it where they run, "
            "under the same path, or keep it in a bucket."
        )


def look(paths: Sequence[str], target: str) -> None:
    """Writes what this process has to a file; this is what the worker runs."""
    found: dict[str, Any] = {**facts(), "missing": [path for path in paths if not os.path.exists(path)]}
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8") as file:
        json.dump(found, file)


def facts() -> dict[str, str]:
    """What has to be the same here and there."""
    return {"tfx": version("tfx"), "apache-beam": version("apache-beam"), "code": installed().bytes_digest()[:12]}


def _telling_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if "Error" in line), lines[0])

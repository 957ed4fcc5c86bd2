"""Runs one node of the DAG in a pod: `python -m finetune_kubeflow.task.run_node`, the command of a package's tasks.

The environment says where it runs (see `finetune_kubeflow.environment`): FINETUNE_ROOT is the shared folder, which
becomes the working directory; FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER and _PASSWORD reach the metadata store. An
empty host means SQLite, and the database is then a file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.errors import ConfigError, FinetuneError, RunError
from finetune.events import ComponentFinished, ComponentStarted, emit
from finetune_kubeflow.environment import METADATA_ENV, ROOT_ENV
from finetune_kubeflow.task.log import logs_to_stderr
from finetune_kubeflow.task.metadata_store import environment, metadata_connection

SECRET_VARIABLES = ("FINETUNE_MLMD_PASSWORD",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the node; the exit code is 0 if it ended well or was cached."""
    options = _parser().parse_args(arguments)
    with logs_to_stderr():
        return _main(options)


def _main(options: argparse.Namespace) -> int:
    try:
        values = {**dict(options.text), **{key: _json(key, text) for key, text in options.value}}
        root = environment([ROOT_ENV], os.environ)[ROOT_ENV]
        try:
            os.makedirs(root, exist_ok=True)
            os.chdir(root)
        except OSError as error:
            raise RunError(f"{ROOT_ENV}: got {root!r}, which cannot be used as working directory: {error}") from None
        run_node(options.node, options.run_id, root, values, os.environ)
    except FinetuneError as error:
        logging.getLogger(__name__).error("%s", error)
        return error.exit_code
    return 0


def run_node(packed: str, run_id: str, root: str, values: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Fills in what a package leaves open, and has TFX's launcher run the node.

    Args:
        packed: The node's IR, from `finetune_kubeflow.package.packed.pack`.
        run_id: Becomes TFX's pipeline run id.
        root: The shared folder.
        values: Run-time values of config keys.
        environ: Holds the connection of the metadata store.

    Returns:
        `ran` or `cached`.

    Raises:
        RunError: The node did not run; TFX does not always raise an exception then.
    """
    connection = metadata_connection(environ)
    from finetune_kubeflow.package.packed import unpack
    from pipeline.launch import launch
    from pipeline.nodes import place_at, resolved, with_metadata_connection
    from pipeline.run_metadata import state_of

    ir = resolved(unpack(packed), place_at(Path(root), values), run_id)
    node_id = ir.nodes[0].pipeline_node.node_info.id
    emit(ComponentStarted(component=node_id, run_id=run_id))
    start = time.monotonic()
    try:
        launch(with_metadata_connection(ir, connection))
    except RuntimeError as error:
        if "connection to Metadata storage" not in str(error):
            raise
        tried = " ".join(environ[name] for name in METADATA_ENV if name != "FINETUNE_MLMD_PASSWORD")
        raise RunError(
            f"FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER: got {tried}; the metadata store there cannot be reached, or "
            "it refuses this user or password."
        ) from error
    state = state_of(connection, run_id, f"{ir.pipeline_info.id}.{node_id}")
    emit(ComponentFinished(component=node_id, state=state, seconds=round(time.monotonic() - start, 2)))
    return state


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finetune_kubeflow.task.run_node", description=__doc__)
    parser.add_argument("--run-id", required=True, help="of the KFP run")
    parser.add_argument("--node", required=True, help="the node, as `finetune compile` packs it")
    for name, what in (("--text", "a text"), ("--value", "JSON: a number, true or false")):
        parser.add_argument(
            name, nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help=f"value of a config key: {what}"
        )
    return parser


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError([f"{key}: got {text!r}; expected JSON: a number, true or false"]) from None


if __name__ == "__main__":
    sys.exit(main())

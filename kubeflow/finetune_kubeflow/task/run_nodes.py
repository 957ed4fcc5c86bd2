"""Runs nodes of the DAG in a pod: `python -m finetune_kubeflow.task.run_nodes`, the command of a package's tasks.

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune import termination
from finetune.artifacts.run_summary import ComponentRun
from finetune.config.kubernetes import Retries
from finetune.errors import PENDING, REFUSED, ConfigError, FinetuneError, RunError
from finetune.events import RunEnded, emit
from finetune_kubeflow.environment import METADATA_ENV, RETRIES_ENV, ROOT_ENV, UMASK
from finetune_kubeflow.package.packed import unpack
from finetune_kubeflow.task.attempts import code_of, run_attempts
from finetune_kubeflow.task.log import logs_to_stderr
from finetune_kubeflow.task.metadata_store import environment, metadata_connection
from pipeline.node_runs import own_error, readable, run_nodes
from pipeline.nodes import place_at
from pipeline.run_metadata import end_executions, open_store, pushed_state

PUSHER = "Pusher"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the nodes, again where that may help; the exit code is 0 if all of them ended well or were cached."""
    options = parser().parse_args(arguments)
    os.umask(UMASK)
    retries = Retries.model_validate_json(os.environ.get(RETRIES_ENV, '{"count": 0}'))
    with logs_to_stderr():
        code = termination.EXIT_CODE
        try:
            code = run_attempts(lambda: attempt(options), retries.pauses)
        finally:
            if code:
                _end_executions(options)
                emit(RunEnded(exit_code=code))
    return code


def attempt(options: argparse.Namespace) -> int:
    """Runs the nodes once; the exit code is as `run_attempts` takes it."""
    logger = logging.getLogger(__name__)
    ended: list[ComponentRun] = []
    try:
        values = {**dict(options.text), **{key: _json(key, text) for key, text in options.value}}
        root = environment([ROOT_ENV], os.environ)[ROOT_ENV]
        try:
            os.makedirs(root, exist_ok=True)
            os.chdir(root)
        except OSError as error:
            raise RunError(f"{ROOT_ENV}: got {root!r}, which cannot be used as working directory: {error}") from None
        run(options.nodes, options.run_id, Path(root), values, os.environ, ended)
    except Exception as failure:
        told = isinstance(failure, FinetuneError)
        logger.error("%s", readable(failure, ended, "The traceback is above."), exc_info=None if told else failure)
        return code_of(own_error(failure))
    return 0


def _end_executions(options: argparse.Namespace) -> None:
    """Leaves no execution behind that looks as if it ran; where the store is away, that says nothing new."""
    try:
        pipeline = unpack(options.nodes)
        nodes = [f"{pipeline.pipeline_info.id}.{node.pipeline_node.node_info.id}" for node in pipeline.nodes]
        end_executions(metadata_connection(os.environ), options.run_id, nodes)
    except Exception:
        logging.getLogger(__name__).info("the executions of this task could not be ended", exc_info=True)


def run(
    packed: str,
    run_id: str,
    root: Path,
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    ended: list[ComponentRun],
) -> None:
    """Fills in what a package leaves open, and runs the nodes of a task in their order.

    Args:
        packed: The IR of the nodes, from `finetune_kubeflow.package.packed.pack`.
        run_id: Becomes TFX's pipeline run id. Nodes that an earlier attempt has run are not run again.
        root: The shared folder.
        values: Run-time values of config keys.
        environ: Holds the connection of the metadata store.
        ended: Gets each node as it ends.

    Emits:
        RunEnded: What became of the model, where the nodes end with the Pusher.

    Raises:
        RunError: The metadata store cannot be reached, or a node did not run to its end.
    """
    connection = metadata_connection(environ)
    try:
        open_store(connection)
    except RunError:
        tried = " ".join(environ[name] for name in METADATA_ENV if name != "FINETUNE_MLMD_PASSWORD")
        raise RunError(
            f"FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER: got {tried}; the metadata store there cannot be reached, or "
            "it refuses this user or password."
        ) from None
    nodes = unpack(packed)
    run_nodes(nodes, connection, place_at(root, values), run_id, ended)
    if PUSHER in [node.pipeline_node.node_info.id for node in nodes.nodes]:
        state = pushed_state(connection, run_id, f"{nodes.pipeline_info.id}.{PUSHER}")
        emit(RunEnded(exit_code={"pushed": 0, "refused": REFUSED, "pending": PENDING}[state]))


def parser() -> argparse.ArgumentParser:
    """The arguments of a task."""
    made = argparse.ArgumentParser(prog="python -m finetune_kubeflow.task.run_nodes", description=__doc__)
    made.add_argument("--run-id", required=True, help="of the KFP run")
    made.add_argument("--nodes", required=True, help="the nodes, as `finetune compile` packs them")
    for name, what in (("--text", "a text"), ("--value", "JSON: a number, true or false")):
        made.add_argument(
            name, nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help=f"value of a config key: {what}"
        )
    return made


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError([f"{key}: got {text!r}; expected JSON: a number, true or false"]) from None


if __name__ == "__main__":
    sys.exit(main())

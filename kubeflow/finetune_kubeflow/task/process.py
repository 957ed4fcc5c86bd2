"""The process of a task: where it runs, its attempts, its log, its exit code. What it does is the caller's.

The environment says where it runs (see `finetune_kubeflow.environment`): FINETUNE_ROOT is the shared folder, which
becomes the working directory; FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER and _PASSWORD reach the metadata store. An
empty host means SQLite, and the database is then a file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from finetune import termination
from finetune.artifacts.run_summary import ComponentRun
from finetune.config.kubernetes import Retries
from finetune.errors import ConfigError, FinetuneError, RunError
from finetune.events import RunEnded, emit
from finetune.run_time import Place
from finetune_kubeflow.environment import RETRIES_ENV, ROOT_ENV, SPANS_SEPARATOR, UMASK
from finetune_kubeflow.package.packed import unpack
from finetune_kubeflow.task.attempts import code_of, run_attempts
from finetune_kubeflow.task.log import logs_to_stderr
from pipeline.metadata_connection import METADATA_ENV, connection_from, variables
from pipeline.node_runs import own_error, readable
from pipeline.nodes import place_at
from pipeline.run_metadata import end_executions, note_failure, open_store


@dataclass(frozen=True)
class Task:
    """What a task is given.

    Attributes:
        nodes: The IR of its nodes; what they leave open is not filled in. None for a task without.
        run_id: Becomes TFX's pipeline run id. Nodes that an earlier attempt has run are not run again.
        place: The shared folder, and run-time values of config keys.
        connection: Of the metadata store.
        ended: Gets each node as it ends.
    """

    nodes: Any
    run_id: str
    place: Place
    connection: metadata_store_pb2.ConnectionConfig
    ended: list[ComponentRun]


Work = Callable[[Task], None]


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Returns the arguments that all tasks have."""
    made = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    made.add_argument("--run-id", required=True, help="of the KFP run")
    made.add_argument("--nodes", help="the nodes, as `finetune compile` packs them; by default none")
    kinds = {"--text": "a text", "--texts": "a list of texts", "--value": "JSON: a number, true or false"}
    for name, what in kinds.items():
        made.add_argument(
            name, nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help=f"value of a config key: {what}"
        )
    return made


def listed(text: str) -> list[str]:
    """Returns the texts that stand in one, parted by commas; a text without any is an empty list."""
    return [part.strip() for part in text.split(SPANS_SEPARATOR) if part.strip()]


def run_task(
    options: argparse.Namespace, work: Work, without_store: Callable[[Place, str], None] = lambda place, cause: None
) -> int:
    """Works, again where that may help; the exit code is 0 if that ended well.

    Args:
        options: See `parser`.
        work: Gets the metadata store, which is there.
        without_store: Does what is left to do where the store stayed away in every attempt; the task has failed.
    """
    os.umask(UMASK)
    retries = Retries.model_validate_json(os.environ.get(RETRIES_ENV, '{"count": 0}'))
    with logs_to_stderr():
        code = termination.EXIT_CODE
        try:
            code = run_attempts(lambda: attempt(options, work), retries.pauses)
            if code:
                _go_without_store(options, without_store)
        finally:
            if code:
                _end_executions(options)
                emit(RunEnded(exit_code=code))
    return code


def attempt(options: argparse.Namespace, work: Work) -> int:
    """Works once; the exit code is as `run_attempts` takes it."""
    logger = logging.getLogger(__name__)
    ended: list[ComponentRun] = []
    try:
        place = _enter(options)
        nodes = unpack(options.nodes) if options.nodes else None
        work(Task(nodes, options.run_id, place, _reached(os.environ), ended))
    except Exception as failure:
        told, ours = isinstance(failure, FinetuneError), own_error(failure)
        logger.error("%s", readable(failure, ended, "The traceback is above."), exc_info=None if told else failure)
        _note(options, readable(failure, ended, "The log of the task has the whole story."), ours)
        return code_of(ours)
    return 0


def _enter(options: argparse.Namespace) -> Place:
    """Makes the shared folder the working directory; returns it with the run-time values of config keys."""
    values = {
        **dict(options.text),
        **{key: listed(text) for key, text in options.texts},
        **{key: _json(key, text) for key, text in options.value},
    }
    root = variables([ROOT_ENV], os.environ)[ROOT_ENV]
    try:
        os.makedirs(root, exist_ok=True)
        os.chdir(root)
    except OSError as error:
        raise RunError(f"{ROOT_ENV}: got {root!r}, which cannot be used as working directory: {error}") from None
    return place_at(Path(root), values)


def _reached(environ: Mapping[str, str]) -> metadata_store_pb2.ConnectionConfig:
    """The connection of the metadata store, which is there; it is created where it is not."""
    connection = connection_from(environ)
    try:
        open_store(connection)
    except RunError:
        tried = " ".join(environ[name] for name in METADATA_ENV if name != "FINETUNE_MLMD_PASSWORD")
        raise RunError(
            f"FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER: got {tried}; the metadata store there cannot be reached, or "
            "it refuses this user or password (ml-metadata knows no login but mysql_native_password)."
        ) from None
    return connection


def _go_without_store(options: argparse.Namespace, work: Callable[[Place, str], None]) -> None:
    """Works without the metadata store if it is away; that the task has failed is known, whatever becomes of this."""
    try:
        place = _enter(options)
        try:
            _reached(os.environ)
        except FinetuneError as error:
            work(place, str(error))
    except Exception:
        logging.getLogger(__name__).info("nothing could be done without the metadata store", exc_info=True)


def _note(options: argparse.Namespace, sentence: str, failure: FinetuneError | None) -> None:
    """Leaves why an attempt failed for the task that tells of the run."""
    try:
        code = (failure or FinetuneError).exit_code
        note_failure(connection_from(os.environ), options.run_id, sentence, code)
    except Exception as error:
        logging.getLogger(__name__).info("why the task failed could not be noted: %s", error)


def _end_executions(options: argparse.Namespace) -> None:
    """Leaves no execution behind that looks as if it ran; where the store is away, that says nothing new."""
    try:
        if not options.nodes:
            return
        pipeline = unpack(options.nodes)
        nodes = [f"{pipeline.pipeline_info.id}.{node.pipeline_node.node_info.id}" for node in pipeline.nodes]
        end_executions(connection_from(os.environ), options.run_id, nodes)
    except Exception:
        logging.getLogger(__name__).info("the executions of this task could not be ended", exc_info=True)


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError([f"{key}: got {text!r}; expected JSON: a number, true or false"]) from None

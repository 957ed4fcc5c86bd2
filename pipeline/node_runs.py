"""Runs the nodes of a pipeline one after the other in this process: a local run, and a task on Kubernetes.

What the execution cache answers needs neither TensorFlow nor TFX's launcher, which are imported when the first node has
to run.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ml_metadata.proto import metadata_store_pb2
from tfx.proto.orchestration import pipeline_pb2

from finetune.artifacts.run_summary import ComponentRun
from finetune.disk import ADVICE, chain, is_full
from finetune.errors import FinetuneError, RunError
from finetune.events import ComponentFinished, ComponentStarted, State, emit
from finetune.run_time import Place
from pipeline import execution_cache
from pipeline.nodes import alone, resolved, with_metadata_connection
from pipeline.run_metadata import has_succeeded, latest_execution, open_store, state_of

Result = TypeVar("Result")


def run_nodes(
    pipeline: pipeline_pb2.Pipeline,
    connection: metadata_store_pb2.ConnectionConfig,
    place: Place,
    run_id: str,
    ended: list[ComponentRun],
    last: str | None = None,
) -> None:
    """Runs the nodes of a pipeline in their order, up to `last` or all.

    Args:
        pipeline: Compiled, with its run-time values open.
        connection: Of the metadata store.
        place: Where the nodes run.
        run_id: TFX's pipeline run id. A node that has succeeded in this run already is not run again.
        ended: Gets each node as it ends, the one that failed too.
        last: Id of a node.
    """
    whole = with_metadata_connection(pipeline, connection)
    for node in whole.nodes:
        node_id = node.pipeline_node.node_info.id
        with told(node_id, ended, run_id) as outcome:
            outcome(run_node(resolved(alone(whole, node_id), place, run_id), connection, run_id))
        if node_id == last:
            break


def run_node(single: pipeline_pb2.Pipeline, connection: metadata_store_pb2.ConnectionConfig, run_id: str) -> State:
    """Runs the only node of a resolved pipeline, unless an earlier execution holds what it would do.

    Raises:
        RunError: The node did not run to its end.
    """
    name = execution_cache.node_name(single)
    store = open_store(connection)
    before = latest_execution(store, run_id, name)
    if before is not None and has_succeeded(before):
        return "cached"
    key = execution_cache.cache_key(store, single)
    if key is not None and execution_cache.reuse(store, single, key):
        return "cached"
    del store  # A server closes connections that lie idle while a node runs.
    from pipeline.launch import launch

    launch(single)
    state = state_of(connection, run_id, name)
    store = open_store(connection)
    # Data that changed meanwhile belong to another key.
    if key is not None and execution_cache.cache_key(store, single) == key:
        execution_cache.remember(store, single, key)
    return state


def nodes_then(
    nodes: Callable[[list[ComponentRun]], None],
    component: str,
    work: Callable[[], Result],
    log: str,
    database: Path | None = None,
) -> Result:
    """Runs nodes, then work of our own on what they left, and returns its result.

    Args:
        nodes: Runs them; a list gets each as it ends.
        component: What the work is called.
        work: Of our own.
        log: As `readable` takes it.
        database: As `readable` takes it.

    Raises:
        RunError: A node or the work failed.
        FinetuneError: From `work`, as it is.
    """
    ended: list[ComponentRun] = []
    try:
        nodes(ended)
        with told(component, ended) as outcome:
            result = work()
            outcome("ran")
        return result
    except Exception as failure:
        logging.getLogger(__name__).exception("%s failed", component)
        if isinstance(failure, FinetuneError):
            raise
        raise RunError(readable(failure, ended, log, database)) from failure


@contextmanager
def told(component: str, ended: list[ComponentRun], run_id: str = "") -> Iterator[Callable[[State], None]]:
    """Tells listeners when a component starts and how it ended, and appends that to `ended`.

    The block calls what it is given with the state, or has failed.
    """
    emit(ComponentStarted(component=component, run_id=run_id))
    start = time.monotonic()
    states: list[State] = ["failed"]
    try:
        yield states.append
    finally:
        seconds = round(time.monotonic() - start, 2)
        ended.append(ComponentRun(id=component, seconds=seconds, state=states[-1]))
        emit(ComponentFinished(component=component, state=states[-1], seconds=seconds))


def readable(failure: BaseException, ended: list[ComponentRun], log: str, database: Path | None = None) -> str:
    """Returns a sentence for the user: which component failed, and our own message where one of ours was raised.

    Args:
        failure: Of the component.
        ended: From `run_nodes`.
        log: Says where all of a failure that is not ours is written.
        database: As `is_full` takes it.
    """
    where = "".join(f"{component.id}: " for component in ended if component.state == "failed")
    ours = own_error(failure)
    if ours is not None:
        # Beam appends the step that an error was raised in.
        return where + re.sub(r" \[while running '[^']*'\]", "", str(ours))
    if is_full(failure, database):
        return where + ADVICE
    lines = [line for line in str(failure).splitlines() if line.strip()] or [""]
    return f"{where}{type(failure).__name__}: {lines[-1]}\n{log}"


def own_error(failure: BaseException) -> FinetuneError | None:
    """Returns the error of ours that a failure is, or comes from; None where there is none."""
    return next((error for error in chain(failure) if isinstance(error, FinetuneError)), None)

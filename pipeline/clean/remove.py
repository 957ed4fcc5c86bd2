"""Removes what a plan says, so that a run that comes at any moment after finds each thing whole or not at all.

The metadata store is told first: what is half removed is never found in the cache. Then each folder leaves its place by
one rename, and is removed where nobody looks. A clean that was killed is finished by the next one.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from finetune.config import Config
from finetune.errors import ConfigError, RunError
from pipeline.clean.facts import facts_of
from pipeline.clean.plan import Plan, plan
from pipeline.history.collect import save_history
from pipeline.metadata_connection import connection_of
from pipeline.only_run import only_run
from pipeline.run_metadata import open_store

REMOVING = ".removing"


def planned(config: Config) -> Plan:
    """Returns what would go now.

    Raises:
        ConfigError: `keep` says nothing.
        RunError: From `facts_of`.
    """
    if not config.keep.is_set:
        raise ConfigError(["keep: got neither `runs` nor `days`; expected one of them, such as keep.runs=10"])
    decided = plan(facts_of(config), config.keep, datetime.now(timezone.utc))
    return replace(decided, removals=[one for one in decided.removals if _is_inside(config.output_path, one.path)])


def clean(config: Config) -> Plan:
    """Removes what may go, and returns what that was.

    Raises:
        ConfigError: `keep` says nothing.
        RunError: A run is going on, the metadata store cannot be read or written, or something cannot be removed.
    """
    if not config.output_path.is_dir():
        raise RunError(f"output_dir: {config.output_path} is not there; expected the folder that runs have written.")
    with only_run(config.output_path):
        return clean_while_alone(config)


def clean_while_alone(config: Config) -> Plan:
    """As `clean`, for a caller that keeps other runs out of the output folder."""
    decided = planned(config)
    try:
        # Else what goes would be forgotten.
        save_history(config)
        remove(config.output_path, connection_of(config), decided)
    except OSError as error:
        raise RunError(
            f"output_dir: something in {config.output_path} cannot be removed: {error}. The metadata store knows "
            "what is gone; `finetune clean` again removes the rest."
        ) from error
    return decided


def remove(output: Path, connection: metadata_store_pb2.ConnectionConfig, decided: Plan) -> None:
    """Does what a plan says.

    Raises:
        OSError: Something cannot be removed.
    """
    _finish(output)
    _mark_deleted(connection, decided.artifacts)
    for removal in decided.removals:
        _leave(output, removal.path)
    _finish(output)


def _mark_deleted(connection: metadata_store_pb2.ConnectionConfig, ids: Sequence[int]) -> None:
    if not ids:
        return
    store = open_store(connection)
    artifacts = store.get_artifacts_by_id(list(ids))
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    store.put_artifacts(artifacts)


def _leave(output: Path, path: str) -> None:
    """Takes something out of its place, and removes it."""
    source = output / path
    if not _is_inside(output, path):
        return
    aside = output / REMOVING / path.replace("/", "~")
    aside.parent.mkdir(exist_ok=True)
    try:
        if stat.S_ISDIR(source.lstat().st_mode) and aside.exists():
            shutil.rmtree(aside)
        os.rename(source, aside)
    except FileNotFoundError:
        return
    _delete(aside)


def _is_inside(output: Path, path: str) -> bool:
    """Tells whether a path below an output folder is there without a link on its way that leads out."""
    return (output / path).parent.resolve().is_relative_to(output.resolve())


def _finish(output: Path) -> None:
    """Removes what a clean that was killed had taken out of its place."""
    aside = output / REMOVING
    if aside.is_symlink():
        aside.unlink()
    if not aside.is_dir():
        return
    for path in list(_entries(aside)):
        _delete(path)
    aside.rmdir()


def _entries(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as found:
        yield from (Path(entry.path) for entry in found)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""Looks up what a plan rests on: the metadata store, the folders of runs, the pushed versions, the disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion import looks
from finetune.artifacts.history import History
from finetune.artifacts.run_summary import RunSummary
from finetune.buckets import folder, is_bucket
from finetune.config import Config
from finetune.errors import RunError
from pipeline.clean.plan import Facts, Run, StoredArtifact, Used, Version
from pipeline.metadata_connection import connection_of, is_missing
from pipeline.run_ids import start_of
from pipeline.run_metadata import NODE, RUN, folder_of_run, open_store
from registry.approval import waiting_models
from registry.versions import PENDING, read_record, versions

ARTIFACTS = "artifacts"

_EVENT = metadata_store_pb2.Event
_OUT, _IN = (_EVENT.OUTPUT, _EVENT.INTERNAL_OUTPUT), (_EVENT.INPUT, _EVENT.INTERNAL_INPUT)
# What belongs to no run: what it is, the folder that it is in, and the pattern below it of what goes as one.
_USED = (
    ("frozen features", "frozen_features", "*/*"),
    ("example cache", "example_cache", "*/*"),
    ("TensorBoard", "tensorboard", "*"),
    ("artifacts", ARTIFACTS, "*/.system/*/*"),
    ("reports and logs", "lr-find", "*"),
    ("reports and logs", "explained", "*"),
    ("reports and logs", "backbones", "*.log"),
)


def facts_of(config: Config) -> Facts:
    """Looks up all that is known of the runs in a config's output folder.

    Raises:
        RunError: The metadata store cannot be read, or knows of versions in a folder that is not there.
    """
    output = config.output_path
    stored, artifacts, pushed_to = _stored(config)
    if not config.push_path.is_dir() and str(config.push_path) in pushed_to:
        raise RunError(
            f"push.directory: {config.push_path} is not there, and runs have pushed to it. What its versions rest on "
            "cannot be told; put it back, or mount it."
        )
    kept = History.find(output) or History()
    told = {run.run_id for run in kept.runs}
    runs = [_with_folder(run, output) for run in stored]
    runs = [replace(run, went=run.folder_bytes is None and run.id in told) for run in runs]
    known = {run.id for run in runs}
    runs += [_with_folder(run, output) for run in _folders_alone(output, known)]
    directories = {str(config.push_path), *pushed_to}
    return Facts(
        pipeline=config.name,
        runs=runs,
        artifacts=artifacts,
        versions=[version for name in sorted(directories) for version in _versions(folder(name))],
        folders=_artifact_folders(output / ARTIFACTS),
        used=[*_checkpoints(output), *_used(output)],
    )


def _stored(config: Config) -> tuple[list[Run], dict[int, StoredArtifact], set[str]]:
    """What the metadata store knows: runs, artifacts by id, and the folders of versions that it names."""
    connection = connection_of(config)
    if is_missing(connection):
        return [], {}, set()
    store = open_store(connection)
    found = store.get_artifacts()
    artifacts = {
        one.id: StoredArtifact(
            id=one.id,
            uri=one.uri,
            live=one.state != metadata_store_pb2.Artifact.DELETED,
            is_look=looks.MODEL_URI in one.custom_properties,
        )
        for one in found
        if one.uri.rstrip("/").split("/")[-4:-3] == [ARTIFACTS]  # Decisions, for one, are kept elsewhere.
    }
    destinations = (one.custom_properties["pushed_destination"].string_value for one in found)
    pushed_to = {str(folder(destination).parent) for destination in destinations if destination}
    return [_run(store, context) for context in store.get_contexts_by_type(RUN)], artifacts, pushed_to


def _run(store: mlmd.MetadataStore, context: metadata_store_pb2.Context) -> Run:
    run_id = folder_of_run(context)
    start = start_of(run_id)
    assert start is not None
    executions = [one.id for one in store.get_executions_by_context(context.id)]
    nodes = store.get_contexts_by_execution(executions[0]) if executions else []
    events = store.get_events_by_execution_ids(executions) if executions else []
    return Run(
        id=run_id,
        start=start,
        pipeline=next((one.name.rsplit(".", 1)[0] for one in nodes if one.type == NODE), ""),
        executions=frozenset(executions),
        made=frozenset(event.artifact_id for event in events if event.type in _OUT),
        read=frozenset(event.artifact_id for event in events if event.type in _IN),
    )


def _folders_alone(output: Path, known: Iterable[str]) -> Iterator[Run]:
    """Runs that have a folder, and of which the metadata store knows nothing."""
    for path in (output / "runs").glob("*"):
        start = start_of(path.name)
        if start is not None and path.name not in known:
            yield Run(id=path.name, start=start)


def _with_folder(run: Run, output: Path) -> Run:
    """Adds what a run's folder says."""
    path = output / "runs" / run.id
    if not path.is_dir():
        return run
    run = replace(run, folder_bytes=size_of(path))
    summary = None
    with contextlib.suppress(RunError):  # It is damaged, or of a later version: as of one that was killed.
        summary = RunSummary.find(path)
    if summary is None:
        return run
    version = summary.pushed_model or summary.pending_model or ""
    # Gates judge metrics; a run that the data stopped has none.
    judged = summary.status in ("pushed", "refused", "pending") and bool(summary.metrics)
    pipeline = run.pipeline or summary.name
    return replace(run, status=summary.status, judged=judged, version=version, pipeline=pipeline)


def _versions(directory: Path) -> Iterator[Version]:
    found = [directory / str(number) for number in versions(directory)]
    if not is_bucket(directory):
        found += [directory / PENDING / digest for digest in waiting_models(directory)]
    for version in found:
        yield Version(str(version), read_record(version).model_uri)


def _artifact_folders(root: Path) -> dict[str, int]:
    found = (path for path in root.glob("*/*/*") if path.parent.name != ".system" and path.is_dir())
    return {path.relative_to(root).as_posix(): size_of(path) for path in found}


def _checkpoints(output: Path) -> Iterator[Used]:
    """Checkpoints of one training go together, as later ones leave out what they share with earlier ones."""
    for place, _, names in os.walk(output / "checkpoints"):
        if names:
            files = [Path(place, name) for name in names]
            path = Path(place).relative_to(output).as_posix()
            yield Used(path, "checkpoints", sum(map(size_of, files)), max(map(_changed, files)))


def _used(output: Path) -> Iterator[Used]:
    for kind, place, pattern in _USED:
        for path in (output / place).glob(pattern):
            yield Used(path.relative_to(output).as_posix(), kind, size_of(path), _changed(path))


def _changed(path: Path) -> datetime:
    """When something was changed last, anything in a folder too; a cache sets the time of a segment that it reads."""
    times = [_stat(one).st_mtime for one in (path, *_below(path))]
    return datetime.fromtimestamp(max(times), timezone.utc)


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder; links are not followed."""
    return sum(_stat(one).st_size for one in (path, *_below(path)) if not one.is_dir() or one.is_symlink())


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for place, _, names in os.walk(path):
            yield from (Path(place, name) for name in names)


def _stat(path: Path) -> os.stat_result:
    """What the file system says of a file; that it was made in 1970 where it has just gone."""
    with contextlib.suppress(FileNotFoundError):
        return path.lstat()
    return os.stat_result([0] * 10)

"""What the TFX components of files share: they fingerprint files, read them with Beam, and write examples."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor
from tfx.dsl.io import fileio

from components.example_gen.component import (
    ROOT_KEY,
    SETTINGS_KEY,
    ExampleGenSpec,
    FingerprintDriver,
    finish,
    make_spec,
    node_id,
    output_artifact,
    shard_files,
    spans_of,
)
from components.example_gen.corrections import corrected
from components.example_gen.file_kind import FileKind
from components.example_gen.files import FileRecord, printable
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.passes import Pass, ReadFiles, WriteShard, done, read_lines, verdict_cache, write_lines
from components.example_gen.progress import Progress
from components.example_gen.settings import IngestSettings
from components.example_gen.settled_selection import select
from components.example_gen.spans import list_spans
from finetune.buckets import is_bucket
from finetune.errors import DataError

# Files that change while they are read are read again this often before the run gives up.
MAX_ATTEMPTS = 3
# What a worker reads at a time: less than a second's work, and far more than it takes to hand it out.
FILES_PER_PART = 100


class FileDriver(FingerprintDriver):
    """Identifies files by their names, labels, sizes and times."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """See `fingerprint.fingerprint`."""
        return fingerprint(root, settings)


class FileExecutor(base_beam_executor.BaseBeamExecutor):
    """Reads every file, decides about all of them together, and writes the examples.

    Attributes:
        NODE_ID: Of the component's node, unless that has an id of its own.
        KIND: Says which files are usable, and what becomes of their bytes.
    """

    NODE_ID: str
    KIND: ClassVar[FileKind]

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills the `examples` artifact: Split-{train,val,test}/*, and ingest_report.json beside them.

        Raises:
            DataError: The data cannot be trained on; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
        own_id = node_id(self._context, self.NODE_ID)
        examples_artifact = output_artifact(output_dict)
        spans = spans_of(exec_properties, fingerprint)
        root = spans.base if spans else exec_properties[ROOT_KEY]
        list_one = partial(list_files, settings=settings)
        listing = corrected(list_spans(spans, settings, list_one) if spans else list_one(root), settings)
        if not is_bucket(root):
            root = os.path.abspath(root)  # A worker's own working directory may be another.
        rejected = [record for record in listing.files if record.reason]
        to_read = [record for record in listing.files if not record.reason]
        with Progress(own_id, len(to_read), "files"):
            records = _by_row(self._run(ReadFiles(root, settings, self.KIND), _parts(to_read)))

        for _ in range(MAX_ATTEMPTS):
            selection = select(listing, [*rejected, *records.values()], settings)
            shards = shard_files(selection.examples, examples_artifact)
            with Progress(own_id, selection.report.used, "examples"):
                lost = _by_row(self._run(WriteShard(root, self.KIND), _shard_lines(shards)))
            if not lost:
                break
            records.update(lost)
        else:
            changing = next(iter(lost.values())).path
            raise DataError(
                f"data.root: files under {printable(root)!r} keep changing while they are read, such as "
                f"{printable(changing)!r}; expected data that stands still. Run again when nothing writes there."
            )

        finish(examples_artifact, selection)
        cache = verdict_cache(settings, self.KIND)
        if cache:
            cache.tidy()

    def _run(self, work: Pass, parts: Iterable[Iterable[str]]) -> Iterator[FileRecord]:
        """Runs `work` on all parts in parallel, and yields the records that it leaves."""
        # Files are the one way to and from workers that may be other processes or machines.
        folder = os.path.join(self._get_tmp_dir(), f"{type(work).__name__}-{uuid.uuid4().hex}")
        fileio.makedirs(folder)
        paths: list[str] = []
        for lines in parts:
            paths.append(os.path.join(folder, f"{len(paths):08}"))
            write_lines(paths[-1], lines)
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Parts" >> beam.Create(paths, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | type(work).__name__ >> beam.ParDo(work)
            )
        for path in paths:
            yield from map(FileRecord.from_json, read_lines(done(path)))


def _parts(files: list[FileRecord]) -> Iterator[list[str]]:
    for start in range(0, len(files), FILES_PER_PART):
        yield [record.to_json() for record in files[start : start + FILES_PER_PART]]


def _shard_lines(shards: Iterable[tuple[str, list[FileRecord]]]) -> Iterator[list[str]]:
    """Yields WriteShard's lines."""
    for path, records in shards:
        yield [json.dumps(path), *(record.to_json() for record in records)]


def _by_row(records: Iterable[FileRecord]) -> dict[tuple[str, tuple[str, ...], str, str], FileRecord]:
    return {record.row: record for record in records}


class FileExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests files as `examples` with the splits train, val and test.

    Features, one bytes value each: what the executor's kind makes of a file, `label`, `path` (relative to root),
    `sha256` (hex, of what was made) and the slice columns; with spans also `span`, and paths are relative to the folder
    that holds them. The artifact's folder also holds `ingest_report.json`.
    """

    SPEC_CLASS = ExampleGenSpec
    DRIVER_CLASS = FileDriver

    def __init__(self, root: str, settings: dict[str, Any]):
        """Takes the folder of the files, and settings as `component.make_spec` does."""
        super().__init__(spec=make_spec(root, settings))

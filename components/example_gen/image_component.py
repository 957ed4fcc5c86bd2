"""The TFX component for images: fingerprints files, reads them with Beam, and writes examples in three splits."""

from __future__ import annotations

import json
import os
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio

from components.example_gen.component import (
    ROOT_KEY,
    SETTINGS_KEY,
    ExampleGenSpec,
    FingerprintDriver,
    finish,
    make_spec,
    output_artifact,
    shard_files,
    stop_for_problems,
)
from components.example_gen.files import FileRecord, printable
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.passes import ReadFile, WriteShard, write_json
from components.example_gen.progress import Progress
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from finetune.errors import DataError

# Files that change while they are read are read again this often before the run gives up.
MAX_ATTEMPTS = 3


class ImageDriver(FingerprintDriver):
    """Identifies pictures by their names, labels, sizes and times."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """See `fingerprint.fingerprint`."""
        return fingerprint(root, settings)


class ImageExecutor(base_beam_executor.BaseBeamExecutor):
    """Reads every file, decides about all of them together, and writes the examples."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills the `examples` artifact: Split-{train,val,test}/*.gz, and ingest_report.json beside them.

        Raises:
            DataError: The data cannot be trained on; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        root = exec_properties[ROOT_KEY]
        settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
        examples_artifact = output_artifact(output_dict)

        listing = list_files(root, settings)
        rejected = [record for record in listing.files if record.reason]
        to_read = [record.to_json() for record in listing.files if not record.reason]
        with Progress("ImageExampleGen", len(to_read), "files"):
            records = _by_row(self._run_beam(ReadFile(root, settings.max_pixels), to_read))

        for _ in range(MAX_ATTEMPTS):
            selection = select_examples(
                listing, [*rejected, *records.values()], settings.max_bad_fraction, TASKS[settings.task]
            )
            stop_for_problems(selection, settings)
            with Progress("ImageExampleGen", selection.report.used, "examples"):
                lost = self._run_beam(WriteShard(root), _shard_elements(selection.examples, examples_artifact))
            if not lost:
                break
            records.update(_by_row(lost))
        else:
            raise DataError(
                f"data.root: files under {printable(root)!r} keep changing while they are read, such as "
                f"{printable(lost[0].path)!r}; expected data that stands still. Run again when nothing writes there."
            )

        finish(examples_artifact, selection)

    def _run_beam(self, work: beam.DoFn, elements: list[str]) -> list[FileRecord]:
        """Runs `work` on all elements in parallel, and returns the records that it yields, in any order."""
        # A file is the one way back from a worker that may be another process or machine.
        results = os.path.join(self._get_tmp_dir(), f"{type(work).__name__}.json")
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Elements" >> beam.Create(elements, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Work" >> beam.ParDo(work)
                | "Gather" >> beam.combiners.ToList()
                | "Keep" >> beam.Map(write_json, results)
            )
        with fileio.open(results) as file:
            return [FileRecord.from_json(line) for line in json.load(file)]


def _by_row(records: list[FileRecord]) -> dict[tuple[str, tuple[str, ...], str | None], FileRecord]:
    """Keys records by what is unique: a manifest may list a path under several labels or splits."""
    return {(record.path, record.labels, record.folder): record for record in records}


def _shard_elements(examples: dict[str, list[FileRecord]], artifact: types.Artifact) -> list[str]:
    """Returns WriteShard's elements."""
    return [
        json.dumps({"file": path, "records": [record.to_json() for record in shard]})
        for path, shard in shard_files(examples, artifact)
    ]


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests images as `examples` with the splits train, val and test.

    Features, one bytes value each: `image` (the file's own bytes), `label`, `path` (relative to root), `sha256` (hex)
    and the slice columns. The artifact's folder also holds `ingest_report.json`.
    """

    SPEC_CLASS = ExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ImageExecutor)
    DRIVER_CLASS = ImageDriver

    def __init__(self, root: str, settings: dict[str, Any]):
        """Takes the folder of the pictures, and settings as `component.make_spec` does."""
        super().__init__(spec=make_spec(root, settings))

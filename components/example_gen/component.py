"""The TFX component: fingerprints the data, reads it with Beam, and writes it as examples in three splits."""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import driver, utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from components.example_gen.files import FileRecord, printable
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.passes import ReadFile, WriteShard, write_json
from components.example_gen.progress import Progress
from components.example_gen.selection import make_shards, select_examples, stop_error
from components.example_gen.settings import SPLITS, IngestSettings
from pipeline.errors import DataError

ROOT_KEY = "root"
SETTINGS_KEY = "settings"
REPORT_NAME = "ingest_report.json"
STOPPED_REPORT_NAME = "bad_files.json"
# Files that change while they are read are read again this often before the run gives up.
MAX_ATTEMPTS = 3


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ImageExampleGen."""

    PARAMETERS: ClassVar = {
        ROOT_KEY: component_spec.ExecutionParameter(type=str),
        SETTINGS_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {}
    OUTPUTS: ClassVar = {
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }


class ImageDriver(driver.Driver):
    """Computes, before the cache is asked, what identifies the data of this run."""

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """Adds span, version and fingerprint; all three enter the cache key and the output artifact."""
        settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
        # The place for {SPAN} in root: find the latest span here, and replace root and span by what was found.
        exec_properties[utils.SPAN_PROPERTY_NAME] = 0
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = fingerprint(exec_properties[ROOT_KEY], settings)
        return exec_properties


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
        examples_artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        examples_artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))

        listing = list_files(root, settings)
        rejected = [record for record in listing.files if record.reason]
        to_read = [record.to_json() for record in listing.files if not record.reason]
        with Progress("read", len(to_read), "files"):
            records = _by_row(self._run_beam(ReadFile(root, settings.max_pixels), to_read))

        for _ in range(MAX_ATTEMPTS):
            selection = select_examples(listing, [*rejected, *records.values()], settings.max_bad_fraction)
            report_path = None
            if settings.report_dir:
                report_path = os.path.join(settings.report_dir, STOPPED_REPORT_NAME)
                write_json(selection.report, report_path)
            if selection.problems:
                raise stop_error(selection, report_path)
            with Progress("write", selection.report["used"], "examples"):
                lost = self._run_beam(WriteShard(root), _shard_elements(selection.examples, examples_artifact))
            if not lost:
                break
            records.update(_by_row(lost))
        else:
            raise DataError(
                f"data.root: files under {printable(root)!r} keep changing while they are read, such as "
                f"{printable(lost[0].path)!r}; expected data that stands still. Run again when nothing writes there."
            )

        write_json(selection.report, os.path.join(examples_artifact.uri, REPORT_NAME))
        examples_utils.set_payload_format(examples_artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(
            examples_artifact, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP)
        )

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


def _by_row(records: list[FileRecord]) -> dict[tuple[str, str, str | None], FileRecord]:
    """Keys records by what is unique: a manifest may list a path under several labels or splits."""
    return {(record.path, record.label, record.folder): record for record in records}


def _shard_elements(examples: dict[str, list[FileRecord]], artifact: types.Artifact) -> list[str]:
    """Returns WriteShard's elements, and makes the folders they go to, emptied of an earlier attempt."""
    elements = []
    for split, records in examples.items():
        folder = artifact_utils.get_split_uri([artifact], split)
        if fileio.exists(folder):
            fileio.rmtree(folder)
        fileio.makedirs(folder)
        shards = list(make_shards(records))
        for i, shard in enumerate(shards):
            name = f"{write_split.DEFAULT_TF_RECORD_FILE_NAME}-{i:05d}-of-{len(shards):05d}.gz"
            lines = [record.to_json() for record in shard]
            elements.append(json.dumps({"file": os.path.join(folder, name), "records": lines}))
    return elements


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests images as `examples` with the splits train, val and test.

    Features, one bytes value each: `image` (the file's own bytes), `label`, `path` (relative to root), `sha256` (hex)
    and the slice columns. The artifact's folder also holds `ingest_report.json`.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ImageExecutor)
    DRIVER_CLASS = ImageDriver

    def __init__(self, root: str, settings: dict[str, Any]):
        """Args:
        root: Folder of the data, as seen where the component runs.
        settings: Fields of IngestSettings; missing ones take their defaults. All of it, `report_dir` too, is part
            of the cache key.
        """
        spec = ImageExampleGenSpec(
            root=root,
            settings=json.dumps(settings, sort_keys=True),
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)

"""What the TFX components around the ingest share: parameters, the driver that asks the cache, the artifact."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from tfx import types
from tfx.components.example_gen import driver, utils, write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs

from components.example_gen.files import FileRecord
from components.example_gen.selection import Selection, make_shards
from components.example_gen.settings import SPLITS, IngestSettings
from components.example_gen.spans import DataSpans, data_fingerprint, resolve_spans
from finetune.errors import DataError
from finetune.events import Note, emit

ROOT_KEY = "root"
SETTINGS_KEY = "settings"
# What the driver adds for the executor, and the property of the output artifact that has the digest of each span.
SPANS_KEY = "spans"


class ExampleGenSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters."""

    PARAMETERS: ClassVar = {
        ROOT_KEY: component_spec.ExecutionParameter(type=str),
        SETTINGS_KEY: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar = {
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }


class FingerprintDriver(driver.Driver):
    """Computes, before the cache is asked, what identifies the data of this run."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns a string that changes when the data does."""
        raise NotImplementedError

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """Adds span, version, fingerprint and, where the root has a place for a span, which of them are read.

        All enter the cache key; the first three become properties of the output artifact as TFX has them, with the
        latest span as `span`, and `finish` adds all of them.
        """
        settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
        root, fingerprint = exec_properties[ROOT_KEY], partial(self.fingerprint, settings=settings)
        exec_properties[utils.SPAN_PROPERTY_NAME] = 0
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        try:
            spans = resolve_spans(root, settings, fingerprint)
        except DataError:
            spans = None  # The executor says what is wrong.
        if spans:
            exec_properties[utils.SPAN_PROPERTY_NAME] = spans.spans[-1].number
            exec_properties[SPANS_KEY] = spans.to_json()
            exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = spans.fingerprint
        else:
            exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = data_fingerprint(root, settings, fingerprint)
        return exec_properties


def make_spec(root: str, settings: dict[str, Any]) -> ExampleGenSpec:
    """Args:
    root: Folder of the data, as seen where the component runs.
    settings: Fields of IngestSettings; missing ones take their defaults. All of it, `report_dir` too, is part of the
        cache key.
    """
    return ExampleGenSpec(
        root=root,
        settings=json.dumps(settings, sort_keys=True),
        examples=types.Channel(type=standard_artifacts.Examples),
    )


def spans_of(exec_properties: dict[str, Any], fingerprint: Callable[[str, IngestSettings], str]) -> DataSpans | None:
    """Returns which spans the driver has found; None where the root has no place for one.

    Args:
        exec_properties: Of the executor.
        fingerprint: As the driver has it.

    Raises:
        DataError: It found none; the message says why.
    """
    if found := exec_properties.get(SPANS_KEY):
        return DataSpans.from_json(found)
    settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
    return resolve_spans(exec_properties[ROOT_KEY], settings, lambda root: fingerprint(root, settings))


def node_id(context: base_executor.BaseExecutor.Context | None, kind: str) -> str:
    """Returns the id of the node that an executor works for, or `kind` where TFX does not tell it."""
    node = context.pipeline_node if context else None
    return str(node.node_info.id) if node else kind


def output_artifact(output_dict: dict[str, list[types.Artifact]]) -> types.Artifact:
    """Returns the artifact to fill, with its splits named."""
    artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    return artifact


def shard_files(
    examples: dict[str, list[FileRecord]], artifact: types.Artifact, suffix: str = ""
) -> Iterator[tuple[str, list[FileRecord]]]:
    """Yields the file and the records of each shard, and makes the folders, emptied of an earlier attempt.

    Whoever reads a file, TFX or we, takes it for gzipped if and only if its name ends in `.gz`; so says `suffix`.
    """
    for split, records in examples.items():
        folder = artifact_utils.get_split_uri([artifact], split)
        if fileio.exists(folder):
            fileio.rmtree(folder)
        fileio.makedirs(folder)
        shards = list(make_shards(records))
        for i, shard in enumerate(shards):
            name = f"{write_split.DEFAULT_TF_RECORD_FILE_NAME}-{i:05d}-of-{len(shards):05d}{suffix}"
            yield os.path.join(folder, name), shard


def finish(artifact: types.Artifact, selection: Selection) -> None:
    """Writes report and list beside the examples, says on the artifact how they are stored, and passes warnings on."""
    for warning in selection.warnings:
        emit(Note(text=f"ExampleGen: {warning}", level="warning"))
    selection.report.write(artifact.uri)
    selection.example_list.write(artifact.uri)
    if selection.report.spans:
        digests = {span.name: span.digest for span in selection.report.spans}
        artifact.set_string_custom_property(SPANS_KEY, json.dumps(digests))
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, write_split.to_file_format_str(example_gen_pb2.FORMAT_TFRECORDS_GZIP))

"""TFX's Transform, which analyses and writes the graph; the examples are transformed by workers of ours.

What TFX's own executor does besides is not needed: statistics of what it reads and writes, examples written with gzip,
a pass over all examples whatever an earlier run has made of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from google.protobuf import json_format
from tfx import types
from tfx.components.transform import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import transform_pb2
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import (
    CUSTOM_CONFIG_KEY,
    EXAMPLES_KEY,
    SPLITS_CONFIG_KEY,
    TRANSFORM_GRAPH_KEY,
    TRANSFORMED_EXAMPLES_KEY,
)

from components.example_gen.progress import Progress
from components.split_files import split_files
from components.transform.shards import COUNTERS, Kept, TransformShard
from finetune.artifacts.ingest_report import IngestReport
from finetune.events import Note, emit
from transforms.modalities import MODALITIES

# Parameter in `custom_config`: where what is kept of examples for later runs is, and how many GiB that may be.
CACHE_KEY = "example_cache"


class TransformExecutor(executor.Executor):
    """Has TFX write the graph, and applies it to splits."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `transform_graph`, and `transformed_examples`: in each split a file for each of the raw ones."""
        raw = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        splits = list(json_format.Parse(exec_properties[SPLITS_CONFIG_KEY], transform_pb2.SplitsConfig()).transform)
        transformed = artifact_utils.get_single_instance(output_dict[TRANSFORMED_EXAMPLES_KEY])
        super().Do(
            input_dict,
            {key: output_dict[key] for key in output_dict if key != TRANSFORMED_EXAMPLES_KEY},
            exec_properties,
        )
        transformed.split_names = artifact_utils.encode_split_names(splits)

        settings = json.loads(exec_properties[CUSTOM_CONFIG_KEY])
        modality = MODALITIES[settings["modality"]]
        kept = _kept(settings, exec_properties["code"]) if modality.kept else None
        graph = artifact_utils.get_single_uri(output_dict[TRANSFORM_GRAPH_KEY])
        work = TransformShard(graph, modality.raw, kept, self._get_tmp_dir())
        counts = IngestReport.read(raw.uri).splits
        total = sum(counts[split].examples for split in splits)
        with Progress("Transform", total, "examples"), self._make_beam_pipeline() as pipeline:
            elements = pipeline | "Files" >> beam.Create(list(_files(raw, transformed, splits)), reshuffle=False)
            _ = elements | "Spread" >> beam.Reshuffle() | "Transform" >> beam.ParDo(work)
        if kept:
            kept.open().tidy()
            _tell(pipeline.result)


class Transform(component.Transform):
    """As TFX's, without statistics and analyzer cache, which nothing reads."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        splits: Sequence[str],
        custom_config: dict[str, Any],
    ):
        """Takes what is transformed, and how; the split `train` alone is analysed.

        Args:
            examples: Raw.
            schema: Of them.
            splits: To transform.
            custom_config: Of the modality (`transforms.modalities.transform_settings`), `task`, and CACHE_KEY.
        """
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn="transforms.preprocessing.preprocessing_fn",
            splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=list(splits)),
            custom_config=custom_config,
            disable_statistics=True,
            disable_analyzer_cache=True,
        )


def _kept(settings: dict[str, Any], code: str) -> Kept:
    """What is made of the raw feature depends on the settings of the modality; the task concerns labels alone."""
    facts = {name: value for name, value in settings.items() if name not in ("task", CACHE_KEY)}
    made_by = json.dumps({"settings": facts, "code": code, "tensorflow": tf.__version__}, sort_keys=True)
    return Kept(settings[CACHE_KEY]["dir"], made_by, settings[CACHE_KEY]["gb"] * 2**30)


def _files(raw: types.Artifact, transformed: types.Artifact, splits: Sequence[str]) -> Iterator[str]:
    """Yields the elements of TransformShard, and makes the folders."""
    for split in splits:
        files = split_files([raw], split)
        folder = artifact_utils.get_split_uri([transformed], split)
        fileio.makedirs(folder)
        for number, file in enumerate(files):
            name = f"transformed_examples-{number:05d}-of-{len(files):05d}"
            yield json.dumps({"raw": file, "transformed": os.path.join(folder, name)})


def _tell(result: Any) -> None:
    """Says how many examples an earlier run has transformed, where it has."""
    found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(COUNTERS))["counters"]
    counts = {each.key.metric.name: each.result for each in found}
    made = counts.get("made", 0)
    if kept := counts.get("kept"):
        emit(Note(text=f"Transform: {kept:,} examples are as an earlier run made them, {made:,} are new"))

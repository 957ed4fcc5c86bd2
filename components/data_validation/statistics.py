"""TFX's StatisticsGen, with one pass over all splits, and no statistics of what a model reads."""

from __future__ import annotations

import os
from typing import Any

import apache_beam as beam
from tensorflow_data_validation.statistics.stats_impl import GenerateSlicedStatisticsImpl
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tfx import types
from tfx.components.statistics_gen import executor
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs

from components.data_validation.batches import ReadShard, write_statistics


class StatisticsExecutor(executor.Executor):
    """Computes the statistics of all splits together: TFX's own builds and runs the same stages for each of them."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `statistics`: in Split-{train,val,test} a DatasetFeatureStatisticsList with one data set."""
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_instance(output_dict[standard_component_specs.STATISTICS_KEY])
        statistics.split_names, statistics.span = examples.split_names, examples.span
        folders, files = {}, []
        for split in artifact_utils.decode_split_names(examples.split_names):
            folders[split] = artifact_utils.get_split_uri([statistics], split)
            fileio.makedirs(folders[split])
            folder = artifact_utils.get_split_uri([examples], split)
            files += [(split, os.path.join(folder, name)) for name in sorted(fileio.listdir(folder))]
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(files, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.ParDo(ReadShard())
                | "Compute" >> GenerateSlicedStatisticsImpl(StatsOptions(), is_slicing_enabled=True)
                | "Write" >> beam.Map(write_statistics, folders)
            )


def statistics_gen(examples: types.BaseChannel) -> StatisticsGen:
    """Returns the StatisticsGen node."""
    node = StatisticsGen(examples=examples)
    node.executor_spec = executor_spec.BeamExecutorSpec(StatisticsExecutor)
    return node

"""How TFX's launcher runs a node that uses Beam."""

from __future__ import annotations

import os
import re
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.orchestration.portable import beam_executor_operator, data_types
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2

from finetune import cpus
from finetune.buckets import is_bucket
from pipeline.beam.arguments import IN_THIS_PROCESS, direct_arguments, direct_workers
from pipeline.beam.probe import check_workers

# Options that say how many workers the direct runner has.
_WORKERS = ("--direct_num_workers", "--direct_running_mode")


class BeamOperator(beam_executor_operator.BeamExecutorOperator):
    """Runs a node's executor with options of Beam that its executor spec does not hold.

    TFX puts the executor spec into the cache key, and with it the options that it finds there; the result of a node
    does not depend on them. Given to the executor as options, they would also have TFX package its own sources anew
    for every node; the workers have them already.
    """

    # The options, as a spec that holds nothing else.
    SUPPORTED_PLATFORM_CONFIG_TYPE = [executable_spec_pb2.BeamExecutableSpec]

    def __init__(self, executor_spec: Any, platform_config: Any = None):
        super().__init__(executor_spec)
        self._arguments = list(platform_config.beam_pipeline_args)

    def run_executor(
        self, execution_info: data_types.ExecutionInfo, make_beam_pipeline_fn: Any = None
    ) -> execution_result_pb2.ExecutorOutput:
        """Runs the executor; its pipelines are made with the options.

        Raises:
            RunError: The workers cannot do the work; see `probe.check_workers`.
        """
        if runs_here(self._arguments):
            self._arguments.append(f"--runner={IN_THIS_PROCESS}")
            if not any(argument.startswith(_WORKERS) for argument in self._arguments):
                self._arguments += direct_arguments(direct_workers(_examples(execution_info), cpus.available()))
        else:
            inputs = [artifact.uri for artifacts in execution_info.input_dict.values() for artifact in artifacts]
            paths = [*inputs, *_roots(execution_info.exec_properties)]
            check_workers(self._arguments, execution_info.tmp_dir, paths)
        return super().run_executor(execution_info, lambda: beam.Pipeline(argv=self._arguments))


def runs_here(arguments: list[str]) -> bool:
    """Tells whether the options leave the work to this process, as they do where they name no runner."""
    return PipelineOptions(arguments).view_as(StandardOptions).runner in (None, "DirectRunner", IN_THIS_PROCESS)


def _examples(execution_info: data_types.ExecutionInfo) -> int:
    """How many files or rows went into the examples, by the fingerprint that the ingest gave them."""
    artifacts = [artifact for found in execution_info.input_dict.values() for artifact in found]
    texts = [artifact.get_string_custom_property(FINGERPRINT_PROPERTY_NAME) for artifact in artifacts]
    texts.append(str(execution_info.exec_properties.get(FINGERPRINT_PROPERTY_NAME)))
    counts = [re.match(r"\w+:(\d+),", text) for text in texts]
    return max((int(count[1]) for count in counts if count), default=0)


def _roots(exec_properties: dict[str, Any]) -> list[str]:
    """The folder of the data that an ingest reads, unless it is in a bucket."""
    root = exec_properties.get("root")
    return [os.path.abspath(root)] if isinstance(root, str) and not is_bucket(root) else []

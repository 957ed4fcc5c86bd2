"""How TFX's launcher runs a node that uses Beam."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from tfx.orchestration.portable import beam_executor_operator, data_types
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2


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
        """Runs the executor; its pipelines are made with the options."""
        return super().run_executor(execution_info, lambda: beam.Pipeline(argv=self._arguments))

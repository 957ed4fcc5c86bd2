"""The executor of a Trainer or the Tuner as one of several workers, from a file that says what to train."""

from __future__ import annotations

from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.orchestration.portable import data_types, python_executor_operator
from tfx.proto.orchestration import execution_invocation_pb2

from components.trainer.component import Executor as TrainerExecutor
from components.tuner.component import Executor as TunerExecutor
from finetune_kubeflow.workers.manifests import TUNER

RESULT_FILE = "result.pb"


def train(invocation: Path, scratch: Path | None) -> None:
    """Runs the executor of the node in this process.

    Args:
        invocation: File from JobExecutor; the result is written beside it.
        scratch: Where the outputs go of a worker that is not the chief; its result is dropped.
    """
    execution = data_types.ExecutionInfo.from_proto(
        execution_invocation_pb2.ExecutionInvocation.FromString(invocation.read_bytes())
    )
    if scratch:
        for key, artifacts in execution.output_dict.items():
            for artifact in artifacts:
                artifact.uri = str(scratch / key)
    context = base_executor.BaseExecutor.Context(
        tmp_dir=str(scratch or execution.tmp_dir),
        unique_id=str(execution.execution_id),
        executor_output_uri=execution.execution_output_uri,
        stateful_working_dir=str(scratch) if scratch else execution.stateful_working_dir,
        pipeline_node=execution.pipeline_node,
        pipeline_info=execution.pipeline_info,
        pipeline_run_id=execution.pipeline_run_id,
    )
    executor = TunerExecutor if execution.pipeline_node.node_info.id == TUNER else TrainerExecutor
    result = python_executor_operator.run_with_executor(execution, executor(context))
    if not scratch:
        (invocation.parent / RESULT_FILE).write_bytes(result.SerializeToString())

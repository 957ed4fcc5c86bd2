"""TFX's Trainer in two halves: the executor that hands the work to a Job, and what the Job's pods run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes import config as kubernetes_config
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.base import base_executor
from tfx.orchestration.portable import data_types, python_executor_operator
from tfx.proto.orchestration import execution_invocation_pb2, execution_result_pb2

from finetune_kubeflow import train_job, workers
from finetune_kubeflow.placement import POD_FIELDS, ROOT_ENV
from finetune_kubeflow.worker_job import job_name, run_job

INVOCATION_FILE = "invocation.pb"
RESULT_FILE = "result.pb"


class JobExecutor(base_executor.BaseExecutor):
    """Runs TFX's Trainer executor in the pods of an Indexed Job, and returns what the chief returned."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> execution_result_pb2.ExecutorOutput:
        """See `GenericExecutor.Do`.

        Raises:
            RunError: The Job failed more often than it may.
        """
        context = self._context
        # The shared volume carries what is to be trained, and the answer.
        exchange = Path(self._get_tmp_dir()).absolute()
        execution = data_types.ExecutionInfo(
            execution_id=int(Path(context.get_tmp_path()).name),
            input_dict=input_dict,
            output_dict=output_dict,
            exec_properties=exec_properties,
            execution_output_uri=context.executor_output_uri,
            stateful_working_dir=context.stateful_working_dir,
            tmp_dir=str(exchange),
            pipeline_node=context.pipeline_node,
            pipeline_info=context.pipeline_info,
            pipeline_run_id=context.pipeline_run_id,
        )
        invocation = exchange / INVOCATION_FILE
        invocation.write_bytes(execution.to_proto().SerializeToString())
        name = job_name(context.pipeline_run_id, context.pipeline_node.node_info.id)
        pod_name, pod_uid, namespace = (os.environ[variable] for variable in POD_FIELDS)
        as_train_job = workers.TRAIN_JOB_ENV in os.environ
        manifest = workers.named_job(
            json.loads(os.environ[workers.JOB_ENV]),
            train_job.inner_job_name(name) if as_train_job else name,
            {"name": pod_name, "uid": pod_uid},
            os.environ[ROOT_ENV],
            str(invocation),
            domain=name,
        )
        kubernetes_config.load_config()
        run_job(client.ApiClient(), namespace, manifest, as_train_job=as_train_job)
        return execution_result_pb2.ExecutorOutput.FromString((exchange / RESULT_FILE).read_bytes())


def train(invocation: Path, scratch: Path | None) -> None:
    """Runs TFX's Trainer executor in this process.

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
    result = python_executor_operator.run_with_executor(execution, GenericExecutor(context))
    if not scratch:
        (invocation.parent / RESULT_FILE).write_bytes(result.SerializeToString())

"""The executor that hands TFX's Trainer to a Job, whose pods run `training`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes import config as kubernetes_config
from tfx.dsl.components.base import base_executor
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import execution_result_pb2

from finetune import lease
from finetune_kubeflow.environment import JOB_ENV, LEASE_FILE, POD_FIELDS, ROOT_ENV, TRAIN_JOB_ENV
from finetune_kubeflow.workers import manifests, train_job
from finetune_kubeflow.workers.training import RESULT_FILE
from finetune_kubeflow.workers.watch import job_name, run_job

INVOCATION_FILE = "invocation.pb"


class JobExecutor(base_executor.BaseExecutor):
    """Runs the Trainer's executor in the pods of an Indexed Job, and returns what the chief returned."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> execution_result_pb2.ExecutorOutput:
        """See `components.trainer.component.Executor.Do`.

        Raises:
            JobError: The Job failed more often than it may.
            RunError: The Job cannot be watched.
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
        as_train_job = TRAIN_JOB_ENV in os.environ
        manifest = manifests.named_job(
            json.loads(os.environ[JOB_ENV]),
            train_job.inner_job_name(name) if as_train_job else name,
            {"name": pod_name, "uid": pod_uid},
            os.environ[ROOT_ENV],
            str(invocation),
            domain=name,
        )
        kubernetes_config.load_config()
        with lease.renewed(exchange / LEASE_FILE):
            run_job(client.ApiClient(), namespace, manifest, as_train_job=as_train_job)
        return execution_result_pb2.ExecutorOutput.FromString((exchange / RESULT_FILE).read_bytes())

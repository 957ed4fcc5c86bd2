"""Single nodes of a compiled pipeline: what local runs and Kubernetes tasks have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2


def alone(pipeline: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with one node and the deployment config of that node; the metadata store is kept."""
    with _changed_deployment(pipeline) as (single, deployment):
        del single.nodes[:]
        single.nodes.extend(node for node in pipeline.nodes if node.pipeline_node.node_info.id == node_id)
        for specs in (
            deployment.executor_specs,
            deployment.custom_driver_specs,
            deployment.node_level_platform_configs,
        ):
            for other in [key for key in specs if key != node_id]:
                del specs[other]
    return single


def launch(single: pipeline_pb2.Pipeline) -> None:
    """Runs the only node of a pipeline with TFX's launcher, as LocalDagRunner does.

    LocalDagRunner itself would write the connection of the metadata store, password included, to the log.
    """
    deployment = runner_utils.extract_local_deployment_config(single)
    connection = deployment.metadata_connection_config
    (node,) = single.nodes
    node_id = node.pipeline_node.node_info.id
    launcher.Launcher(
        pipeline_node=node.pipeline_node,
        mlmd_connection=metadata.Metadata(getattr(connection, connection.WhichOneof("connection_config"))),
        pipeline_info=single.pipeline_info,
        pipeline_runtime_spec=single.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
    ).launch()


def with_metadata_connection(pipeline: pipeline_pb2.Pipeline, connection: Any | None) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with another metadata store, or with none.

    Args:
        connection: ml_metadata's ConnectionConfig.
    """
    with _changed_deployment(pipeline) as (changed, deployment):
        deployment.ClearField("metadata_connection_config")
        if connection is not None:
            deployment.metadata_connection_config.Pack(connection)
    return changed


def with_executor(pipeline: pipeline_pb2.Pipeline, node_id: str, class_path: str) -> pipeline_pb2.Pipeline:
    """Returns the pipeline with another executor class for a node."""
    with _changed_deployment(pipeline) as (changed, deployment):
        spec = executable_spec_pb2.PythonClassExecutableSpec(class_path=class_path)
        deployment.executor_specs[node_id].Pack(spec)
    return changed


@contextmanager
def _changed_deployment(
    pipeline: pipeline_pb2.Pipeline,
) -> Iterator[tuple[pipeline_pb2.Pipeline, pipeline_pb2.IntermediateDeploymentConfig]]:
    """Gives a copy of the pipeline, and its deployment config, which is put back into the copy at the end."""
    changed, deployment = pipeline_pb2.Pipeline(), pipeline_pb2.IntermediateDeploymentConfig()
    changed.CopyFrom(pipeline)
    pipeline.deployment_config.Unpack(deployment)
    yield changed, deployment
    changed.deployment_config.Pack(deployment, deterministic=True)


def code_digest(*packages: str) -> str:
    """SHA-256 over the Python files of packages of ours: a changed preprocessing or recipe must not be cached."""
    root = Path(__file__).parents[1]
    files = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()

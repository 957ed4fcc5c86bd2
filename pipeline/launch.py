"""Runs a node with TFX's launcher; importing it takes TensorFlow and TFX."""

from __future__ import annotations

from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import pipeline_pb2


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

"""Runs a node with TFX's launcher; importing it takes TensorFlow and TFX."""

from __future__ import annotations

from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from pipeline.beam.operator import BeamOperator


def launch(single: pipeline_pb2.Pipeline) -> None:
    """Runs the only node of a pipeline with TFX's launcher, as LocalDagRunner does.

    LocalDagRunner itself would write the connection of the metadata store, password included, to the log, and have the
    options of Beam in the cache key.
    """
    deployment = runner_utils.extract_local_deployment_config(single)
    connection = deployment.metadata_connection_config
    (node,) = single.nodes
    node_id = node.pipeline_node.node_info.id
    spec = runner_utils.extract_executor_spec(deployment, node_id)
    beam_options = None
    if isinstance(spec, executable_spec_pb2.BeamExecutableSpec):
        beam_options = executable_spec_pb2.BeamExecutableSpec(beam_pipeline_args=spec.beam_pipeline_args)
        spec.ClearField("beam_pipeline_args")
        spec.ClearField("beam_pipeline_args_placeholders")
    launcher.Launcher(
        pipeline_node=node.pipeline_node,
        mlmd_connection=metadata.Metadata(getattr(connection, connection.WhichOneof("connection_config"))),
        pipeline_info=single.pipeline_info,
        pipeline_runtime_spec=single.runtime_spec,
        executor_spec=spec,
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        platform_config=beam_options,
        custom_executor_operators={executable_spec_pb2.BeamExecutableSpec: BeamOperator},
    ).launch()

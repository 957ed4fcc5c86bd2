"""TFX's Pusher with an atomic push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components import Pusher
from tfx.components.pusher import executor
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.pusher.versions import push_version


class AtomicPushExecutor(executor.Executor):
    """Pushes a blessed model as the next whole version; an unblessed one not at all."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes `input_dict["model"]` to the filesystem destination in `exec_properties`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        model = self.GetModelPath(input_dict)
        settings = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        directory = Path(destination.filesystem.base_directory)
        version, _ = push_version(Path(model), directory, keep=settings["keep"])
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)


def atomic_pusher(model: types.BaseChannel, blessing: types.BaseChannel, directory: str, keep: int) -> Pusher:
    """Returns the Pusher node; `directory` is the folder of versions, of which the last `keep` are kept."""
    destination = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=directory))
    return Pusher(
        model=model,
        model_blessing=blessing,
        push_destination=destination,
        custom_config={"keep": keep},
        custom_executor_spec=executor_spec.ExecutorClassSpec(AtomicPushExecutor),
    ).with_id("Pusher")

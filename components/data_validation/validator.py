"""TFX's ExampleValidator, which stops the run when it finds an anomaly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor
from tfx.components.example_validator.component import ExampleValidator
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from finetune.errors import DataError


class StoppingExecutor(executor.Executor):
    """Validates, then raises when a split does not fit the schema."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        """Writes the anomalies of each split.

        Raises:
            DataError: There is at least one; the message lists them all.
        """
        output = super().Do(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.ANOMALIES_KEY])
        found = {}
        for split in artifact_utils.decode_split_names(artifact.split_names):
            folder = artifact_utils.get_split_uri([artifact], split)
            with open(os.path.join(folder, executor.DEFAULT_FILE_NAME), "rb") as file:
                found[split] = anomalies_pb2.Anomalies.FromString(file.read())
        lines = describe(found)
        if lines:
            raise DataError(
                "The data do not fit the schema:\n"
                + "\n".join(f"  {line}" for line in lines)
                + "\nMend the data, or give the schema that you mean as data.schema_file."
            )
        return output


def describe(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """One line per anomaly: split, feature and what is wrong with it."""
    lines = []
    for split, found in anomalies.items():
        for feature, info in sorted(found.anomaly_info.items()):
            lines.append(f"{split}: {feature}: {info.short_description}: {' '.join(info.description.split())}")
        for reason in found.dataset_anomaly_info.reason:
            lines.append(f"{split}: {reason.short_description}: {' '.join(reason.description.split())}")
    return lines


def example_validator(statistics: types.BaseChannel, schema: types.BaseChannel) -> ExampleValidator:
    """Returns the ExampleValidator node."""
    node = ExampleValidator(statistics=statistics, schema=schema)
    node.executor_spec = executor_spec.ExecutorClassSpec(StoppingExecutor)
    return node

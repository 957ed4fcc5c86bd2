"""TFX's SchemaGen, with domains only where values are classes."""

from __future__ import annotations

import os
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen import executor
from tfx.components.schema_gen.component import SchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from transforms import features
from transforms.modalities import MODALITIES


class IdentifierAwareExecutor(executor.Executor):
    """Infers the schema, then drops the domains that a small data set lends to values that are unique by nature.

    Statistics over fewer than about a hundred examples list every file name, and SchemaGen takes the list for the set
    of all valid ones; every file of another split would then be an anomaly.

    Attributes:
        one_label: Whether every example has exactly one.
    """

    one_label = True

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `schema.pbtxt`."""
        super().Do(input_dict, output_dict, exec_properties)
        folder = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        path = os.path.join(folder, executor.DEFAULT_FILE_NAME)
        schema = without_identifier_domains(io_utils.parse_pbtxt_file(path, schema_pb2.Schema()))
        io_utils.write_pbtxt_file(path, schema if self.one_label else with_any_number_of_labels(schema))


class AnyNumberOfLabelsExecutor(IdentifierAwareExecutor):
    """The same where an example may have any number of labels, whatever those of the train split have."""

    one_label = False


def without_identifier_domains(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Returns a copy of the schema in which the raw feature of a modality, path, digest, group and span are free."""
    ours = (features.PATH, features.SHA256, features.GROUP, features.SPAN)
    identifiers = {*ours, *(modality.raw for modality in MODALITIES.values())}
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    dropped = set()
    for feature in result.feature:
        if feature.name in identifiers and feature.WhichOneof("domain_info"):
            dropped.add(feature.domain)
            feature.ClearField(feature.WhichOneof("domain_info"))
    kept = [domain for domain in result.string_domain if domain.name not in dropped]
    del result.string_domain[:]
    result.string_domain.extend(kept)
    return result


def with_any_number_of_labels(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Returns a copy of the schema in which an example may have no label, one, or several."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    for feature in result.feature:
        if feature.name == features.LABEL:
            feature.ClearField("presence")
            feature.ClearField("shape")
            feature.ClearField("value_count")
            feature.value_count.min = 0
    return result


def schema_gen(statistics: types.BaseChannel, one_label: bool) -> SchemaGen:
    """Returns the SchemaGen node, which looks at the train split alone.

    Args:
        statistics: Of all splits.
        one_label: Whether every example has exactly one label.
    """
    node = SchemaGen(statistics=statistics, infer_feature_shape=True, exclude_splits=["val", "test"])
    node.executor_spec = executor_spec.ExecutorClassSpec(
        IdentifierAwareExecutor if one_label else AnyNumberOfLabelsExecutor
    )
    return node

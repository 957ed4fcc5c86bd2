"""TFX's SchemaGen, with domains only where values are classes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.schema_gen import executor
from tfx.components.schema_gen.component import SchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.data_validation.counts import value_counts
from transforms import features
from transforms.modalities import MODALITIES


class IdentifierAwareExecutor(executor.Executor):
    """Infers the schema, then mends the domains of values that are unique by nature, and that of labels.

    Statistics over fewer than about a hundred examples list every file name, and SchemaGen takes the list for the set
    of all valid ones; every file of another split would then be an anomaly. Which labels a split may have that train
    has not, the ingest has settled: those of spans that are only tested on.

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
        statistics = artifact_utils.get_single_instance(input_dict[standard_component_specs.STATISTICS_KEY])
        for split in artifact_utils.decode_split_names(statistics.split_names):
            counts = value_counts(Path(artifact_utils.get_split_uri([statistics], split)))
            schema = with_labels(schema, counts.get(features.LABEL, ()))
        io_utils.write_pbtxt_file(path, schema if self.one_label else with_any_number_of_labels(schema))


class AnyNumberOfLabelsExecutor(IdentifierAwareExecutor):
    """The same where an example may have any number of labels, whatever those of the train split have."""

    one_label = False


def without_identifier_domains(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Returns a copy of the schema in which raw features, boxes, masks, paths, digests, groups and spans are free."""
    ours = (features.BOXES, features.MASK, features.PATH, features.SHA256, features.GROUP, features.SPAN)
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


def with_labels(schema: schema_pb2.Schema, names: Iterable[str]) -> schema_pb2.Schema:
    """Returns a copy of the schema whose domain of labels, where it has one, holds these as well."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    named = {feature.domain for feature in result.feature if feature.name == features.LABEL}
    for domain in result.string_domain:
        if domain.name in named:
            domain.value.extend(sorted(set(names).difference(domain.value)))
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

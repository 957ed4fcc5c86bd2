"""What the schema says of labels, where an example may have any number of them."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("tfx")
schema_pb2 = importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
subject = importlib.import_module("components.data_validation.schema")


def test_labels_may_be_any_number_though_every_example_of_train_has_one():
    schema = schema_pb2.Schema()
    for name in ("label", "path"):
        feature = schema.feature.add(name=name, type=schema_pb2.BYTES)
        feature.presence.min_fraction = 1.0
        feature.shape.dim.add(size=1)
    label, path = subject.with_any_number_of_labels(schema).feature
    assert label.WhichOneof("shape_type") == "value_count"
    assert (label.value_count.min, label.HasField("presence")) == (0, False)
    assert path == schema.feature[1]

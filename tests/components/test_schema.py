"""What the schema says of labels, where an example may have any number of them, and of groups."""

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


def test_the_group_of_another_split_is_no_anomaly_though_train_lists_its_own():
    schema = schema_pb2.Schema()
    for name in ("group", "label"):
        schema.feature.add(name=name, type=schema_pb2.BYTES, domain=name)
        schema.string_domain.add(name=name, value=["a"])
    freed = subject.without_identifier_domains(schema)
    assert [feature.WhichOneof("domain_info") for feature in freed.feature] == [None, "domain"]
    assert [domain.name for domain in freed.string_domain] == ["label"]


def test_labels_that_are_only_tested_on_are_no_anomalies():
    schema = schema_pb2.Schema()
    for name in ("label", "site"):
        schema.feature.add(name=name, type=schema_pb2.BYTES, domain=name)
        schema.string_domain.add(name=name, value=["b"])
    label, site = subject.with_labels(schema, ["c", "a", "b"]).string_domain
    assert (list(label.value), list(site.value)) == (["b", "a", "c"], ["b"])
    assert subject.with_labels(schema_pb2.Schema(), ["a"]) == schema_pb2.Schema(), "nothing is made up"

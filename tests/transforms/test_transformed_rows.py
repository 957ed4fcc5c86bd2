"""Rows of what a Transform graph gives, as examples are written of them."""

from __future__ import annotations

import tensorflow as tf

from transforms.graph import _rows


def test_a_row_without_values_keeps_the_type_of_its_column():
    labels = tf.SparseTensor([[0, 0], [0, 1], [2, 0]], tf.constant([4, 1, 0], tf.int64), [3, 2])
    rows = [tf.train.Example.FromString(row) for row in _rows({"labels": labels, "key": tf.constant(["a", "b", "c"])})]
    found = [row.features.feature["labels"] for row in rows]
    assert [list(feature.int64_list.value) for feature in found] == [[4, 1], [], [0]]
    assert {feature.WhichOneof("kind") for feature in found} == {"int64_list"}
    assert [row.features.feature["key"].bytes_list.value[0] for row in rows] == [b"a", b"b", b"c"]

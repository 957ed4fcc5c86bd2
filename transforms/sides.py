"""A picture with words as one value: a serialised tf.Example of both raw features, either of which may be empty."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from transforms import features
from transforms.records import serialise

# In the order of the columns of the feature `there`.
SIDES = (features.IMAGE, features.TEXT)


def pack(sides: Mapping[str, bytes]) -> bytes:
    """Returns the raw feature of sides by name; one that is left out is empty. The same sides give the same bytes."""
    return serialise({side: sides.get(side, b"") for side in SIDES})


def unpack(value: bytes) -> dict[str, bytes]:
    """Returns the sides of a raw feature by name."""
    found = tf.train.Example.FromString(value).features.feature
    return {side: next(iter(found[side].bytes_list.value), b"") for side in SIDES}


def unpacked(values: tf.Tensor) -> dict[str, tf.Tensor]:
    """Does the same with string [batch] in TensorFlow's operations: by side string [batch]."""
    return tf.io.parse_example(values, {side: tf.io.FixedLenFeature([], tf.string, "") for side in SIDES})


def packed(sides: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Packs by side string [batch] in TensorFlow's operations to string [batch], as `unpacked` reads it."""

    def entry(side: str) -> tf.Tensor:
        # A map's entry in protobuf's wire format: key, then Feature { bytes_list { value } }.
        value = sides[side]
        feature = _field(1, _field(1, value))
        return _field(1, tf.strings.join([_field(1, tf.fill(tf.shape(value), side)), _field(2, feature)]))

    return _field(1, tf.strings.join([entry(side) for side in SIDES]))


def _field(number: int, content: tf.Tensor) -> tf.Tensor:
    """Returns a field with a length, string [batch]: its mark, the length as a varint, and the content."""
    length = tf.strings.length(content)
    parts = [tf.fill(tf.shape(content), bytes([number << 3 | 2]))]
    for place in range(5):
        rest = tf.bitwise.right_shift(length, 7 * place)
        byte = tf.bitwise.bitwise_and(rest, 127) + tf.where(rest > 127, 128, 0)
        written = (rest > 0) | (place == 0)
        parts.append(tf.where(written, tf.gather(tf.constant([bytes([each]) for each in range(256)]), byte), ""))
    return tf.strings.join([*parts, content])


def side_alone(example: bytes, side: str) -> bytes:
    """Returns a raw example, a serialised tf.Example, without the other side; one that lacks the side stays."""
    found = tf.train.Example.FromString(example)
    values = found.features.feature[features.IMAGE_TEXT].bytes_list.value
    if unpack(values[0])[side]:
        values[0] = pack({side: unpack(values[0])[side]})
    return bytes(found.SerializeToString(deterministic=True))

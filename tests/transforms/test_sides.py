"""A picture with words as one value."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")

from transforms.inputs import SideInputs, TensorInputs  # noqa: E402
from transforms.records import serialise  # noqa: E402
from transforms.sides import pack, packed, side_alone, unpack, unpacked  # noqa: E402

PAIRS = [
    (b"picture", b"words"),
    (b"", b"a" * 127),
    (b"\n\x0aimage", b""),
    (b"p" * 70_000, "\u00fcber".encode()),
    (b"", b""),
]


def test_sides_come_back_as_they_were():
    for image, text in PAIRS:
        assert unpack(pack({"image": image, "text": text})) == {"image": image, "text": text}


def test_a_served_batch_is_packed_as_the_ingest_packs():
    images, texts = (tf.constant(each) for each in zip(*PAIRS, strict=True))
    found = unpacked(packed({"image": images, "text": texts}))
    assert (found["image"].numpy().tolist(), found["text"].numpy().tolist()) == tuple(
        map(list, zip(*PAIRS, strict=True))
    )


def test_a_raw_example_is_told_from_its_raw_feature():
    value = pack({"image": b"picture", "text": b"words"})
    inputs = SideInputs(TensorInputs({}, "image", "image"), TensorInputs({}, "text", "text"), {})
    example = serialise({"image_text": value, "label": b"a", "sha256": b"0"})
    assert inputs.is_example(tf.constant([value, example])).numpy().tolist() == [False, True]


def test_a_side_alone_is_without_the_other_and_the_label_stays():
    example = serialise({"image_text": pack({"image": b"picture", "text": b"words"}), "label": b"a"})
    for side, kept in (("image", {"image": b"picture", "text": b""}), ("text", {"image": b"", "text": b"words"})):
        feature = tf.train.Example.FromString(side_alone(example, side)).features.feature
        assert unpack(feature["image_text"].bytes_list.value[0]) == kept
        assert feature["label"].bytes_list.value[0] == b"a"
    lacks = serialise({"image_text": pack({"text": b"words"})})
    assert side_alone(lacks, "image") == lacks

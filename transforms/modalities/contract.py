"""The contract of `Modality`, which every entry of `MODALITIES` keeps. Imports TensorFlow."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import metadata_io

from transforms import features
from transforms.backbone import Backbone
from transforms.inputs import Inputs
from transforms.modalities import MODALITIES, transform_settings
from transforms.preprocessing import preprocessing_fn
from transforms.records import serialise


def check_modality(record: Backbone, values: Sequence[bytes], folder: Path) -> None:
    """Holds the modality of a record against what Transform, training and serving rely on.

    Args:
        record: Of a backbone of the modality.
        values: Two or more values of its raw feature, as odd as they may be.
        folder: Empty; what the check writes goes there.

    Raises:
        AssertionError: The modality breaks the contract; the message says how.
    """
    name, modality = record.modality, MODALITIES[record.modality]
    taken = {features.LABEL, features.PATH, features.SHA256}
    assert modality.raw not in taken, f"{name}: every example has a feature {modality.raw!r} of its own"
    assert modality.describe(record), f"{name} has no words for what a backbone is shown"
    settings = transform_settings(record)
    assert json.loads(json.dumps(settings)) == settings, f"{name}: settings that JSON changes: {settings}"

    output = _analysed(record, values, folder)
    graph = output.transform_features_layer()
    columns = {modality.raw: values, features.LABEL: [b"a"] * len(values), features.SHA256: [b"0"] * len(values)}
    transformed = graph({column: tf.constant(cells) for column, cells in columns.items()})
    made = {key: tensor for key, tensor in transformed.items() if key not in (features.LABEL_INDEX, features.KEY)}
    assert made, f"{name} makes no feature of {modality.raw!r}"

    inputs = modality.inputs(record, output)
    assert (inputs.modality, inputs.raw) == (name, modality.raw), f"{name}: its inputs are those of {inputs.modality}"
    assert set(inputs.feature_spec()) <= set(made), f"{name} reads {set(inputs.feature_spec())} and makes {set(made)}"
    _check_paths_agree(name, inputs, made)
    examples = [serialise({modality.raw: value}) for value in values]
    assert inputs.is_example(tf.constant(examples)).numpy().all(), f"{name} does not know its own tf.Examples"
    assert not inputs.is_example(tf.constant(values)).numpy().any(), f"{name} takes a raw value for a tf.Example"


def _analysed(record: Backbone, values: Sequence[bytes], folder: Path) -> tft.TFTransformOutput:
    raw = MODALITIES[record.modality].raw
    columns = (raw, features.LABEL, features.SHA256)
    metadata = tft.DatasetMetadata.from_feature_spec(dict.fromkeys(columns, tf.io.FixedLenFeature([], tf.string)))
    rows = [{raw: value, features.LABEL: b"a", features.SHA256: b"0"} for value in values]
    function = functools.partial(preprocessing_fn, custom_config={**transform_settings(record), "task": "single_label"})
    with tft_beam.Context(temp_dir=str(folder / "tmp"), force_tf_compat_v1=False):
        analysed = (rows, metadata) | tft_beam.AnalyzeDataset(function)
        _ = analysed | tft_beam.WriteTransformFn(str(folder / "transform"))
    output = tft.TFTransformOutput(str(folder / "transform"))
    metadata_io.write_metadata(metadata, str(folder / "transform" / tft.TFTransformOutput.RAW_METADATA_DIR))
    return output


def _check_paths_agree(name: str, inputs: Inputs, made: dict[str, tf.Tensor]) -> None:
    """The Trainer reads example by example, and the served model a batch: both must see the same."""
    served = inputs.read_batch(made)
    rows = [
        serialise(dict(zip(made, row, strict=True))) for row in zip(*(t.numpy() for t in made.values()), strict=True)
    ]
    trained = [inputs.finish(inputs.read(tf.io.parse_single_example(row, inputs.feature_spec()))) for row in rows]
    batched = tf.nest.map_structure(lambda *one: np.stack([each.numpy() for each in one]), *trained)
    assert tf.nest.map_structure(lambda t: t.dtype.name, served) == tf.nest.map_structure(
        lambda t: t.dtype.name, trained[0]
    ), f"{name}: training and serving see other types"
    for one, other in zip(tf.nest.flatten(served), tf.nest.flatten(batched), strict=True):
        assert np.array_equal(one.numpy(), other), f"{name}: the served model sees another input than the Trainer"

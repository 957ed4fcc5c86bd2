"""Texts of two topics and their transformed examples, for tests."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from small_training import write
from tensorflow_transform.tf_metadata import metadata_io
from text_saved_models import WORDS

from finetune.config import BackboneConfig
from trainer_module.backbones.sources import record_of
from transforms.modalities import transform_settings
from transforms.preprocessing import preprocessing_fn


def texts(count: int, seed: int) -> list[tuple[bytes, bytes]]:
    """Texts of two topics, with their labels."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        topic = WORDS[:5] if number % 2 else WORDS[5:10]
        words = [*random.choice([*topic, *topic, *WORDS[10:]], 6), str(number)]
        found.append((" ".join(words).encode(), b"sea" if number % 2 else b"sky"))
    return found


def transform(folder: Path, config: BackboneConfig, splits: dict[str, list[tuple[bytes, bytes]]]) -> dict[str, str]:
    """Makes the Transform graph and runs it over the texts; returns the file of each split's transformed examples."""
    metadata = tft.DatasetMetadata.from_feature_spec(
        dict.fromkeys(("text", "label", "sha256"), tf.io.FixedLenFeature([], tf.string))
    )
    raw = {
        name: {
            "text": [text for text, _ in rows],
            "label": [label for _, label in rows],
            "sha256": [hashlib.sha256(text).hexdigest().encode() for text, _ in rows],
        }
        for name, rows in splits.items()
    }
    output = folder / "transform"
    settings = {**transform_settings(record_of(config)), "task": "single_label"}
    function = functools.partial(preprocessing_fn, custom_config=settings)
    with tft_beam.Context(temp_dir=str(folder / "tmp"), force_tf_compat_v1=False):
        columns = raw["train"]
        examples = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        _ = ((examples, metadata) | tft_beam.AnalyzeDataset(function)) | tft_beam.WriteTransformFn(str(output))
    metadata_io.write_metadata(metadata, str(output / tft.TFTransformOutput.RAW_METADATA_DIR))
    graph = tft.TFTransformOutput(str(output)).transform_features_layer()
    files = {}
    for name, columns in raw.items():
        transformed = graph({column: tf.constant(values) for column, values in columns.items()})
        rows = zip(*(tensor.numpy() for tensor in transformed.values()), strict=True)
        files[name] = write(folder / f"{name}.gz", [_example(dict(zip(transformed, row, strict=True))) for row in rows])
    return files


def _example(row: dict) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(value)))
        for name, value in row.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

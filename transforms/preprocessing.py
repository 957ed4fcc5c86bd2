"""The preprocessing_fn that TFX's Transform component runs, and that the served model carries inside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from transforms import features
from transforms.modalities import MODALITIES


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw examples into what the Trainer reads.

    Args:
        inputs: The modality's raw feature, `label` and `sha256`, each string [batch, 1], sparse or dense as the schema
            says.
        custom_config: From `transforms.settings.transform_settings`.

    Returns:
        What the modality makes of its raw feature.
        `label_index`: int64 [batch], the line of the label in the vocabulary `classes`.
        `key`: string [batch], which identifies the example.
    """
    modality = MODALITIES[custom_config["modality"]]
    return {
        **modality.transform(_column(inputs[modality.raw]), custom_config),
        features.LABEL_INDEX: tft.compute_and_apply_vocabulary(
            _column(inputs[features.LABEL]), vocab_filename=features.CLASSES
        ),
        features.KEY: _column(inputs[features.SHA256]),
    }


def _column(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    if isinstance(values, tf.SparseTensor):
        values = tf.sparse.to_dense(values, default_value="")
    return tf.reshape(values, [-1])

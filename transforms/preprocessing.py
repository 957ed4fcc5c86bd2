"""The preprocessing_fn that TFX's Transform component runs, and that the served model carries inside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from transforms import features
from transforms.columns import column
from transforms.modalities import MODALITIES
from transforms.tasks import TASKS


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw examples into what the Trainer reads.

    Args:
        inputs: The modality's raw feature and `sha256`, each string [batch, 1], and `label` string [batch, labels],
            sparse or dense as the schema says.
        custom_config: From `transforms.modalities.transform_settings`.

    Returns:
        What the modality makes of its raw feature.
        What the task makes of labels: `label_index` int64, their lines in the vocabulary `classes`, among it.
        `key`: string [batch], which identifies the example.
        `group`: string [batch], what examples share, where the data say it.
    """
    modality = MODALITIES[custom_config["modality"]]
    grouped = {features.GROUP: column(inputs[features.GROUP])} if features.GROUP in inputs else {}
    return {
        **modality.transform(column(inputs[modality.raw]), custom_config),
        **TASKS[custom_config["task"]].transform(inputs, custom_config),
        features.KEY: column(inputs[features.SHA256]),
        **grouped,
    }

"""The preprocessing_fn that TFX's Transform component runs, and that the served model carries inside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from transforms import features, image, text
from transforms.columns import column
from transforms.tasks import TASKS
from transforms.word_table import read_word_table


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw examples into what the Trainer reads.

    Args:
        inputs: `image` or `text` and `sha256`, each string [batch, 1], and `label` string [batch, labels], sparse or
            dense as the schema says.
        custom_config: From `transforms.settings.transform_settings`.

    Returns:
        Of pictures `pixels`: string [batch], serialised uint8 [size, size, 3] (`transforms.image.decode_and_resize`).
        Of texts `word_ids`: int64 [batch, max_words] (`transforms.text.WordIds`); or what the preprocessor makes, in
        int64; or for an encoder that takes strings `clean_text`: string [batch], valid UTF-8.
        `label_index`: int64, the lines of the labels in the vocabulary `classes` (`transforms.tasks`).
        `key`: string [batch], which identifies the example.
    """
    modality = {"image": _of_image, "text": _of_text}[custom_config["modality"]]
    return {
        **modality(inputs, custom_config),
        features.LABEL_INDEX: TASKS[custom_config["task"]].transform(inputs[features.LABEL]),
        features.KEY: column(inputs[features.SHA256]),
    }


def _of_image(inputs: dict[str, Any], settings: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {features.PIXELS: image.decode_and_resize(column(inputs[features.IMAGE]), settings["image_size"])}


def _of_text(inputs: dict[str, Any], settings: dict[str, Any]) -> dict[str, tf.Tensor]:
    texts = column(inputs[features.TEXT])
    if "vocabulary" in settings:
        word_ids = tft.make_and_track_object(
            lambda: text.WordIds(read_word_table(settings["vocabulary"]), settings["unknown_words"]), name="word_ids"
        )
        return {features.WORD_IDS: word_ids(texts, settings["max_words"])}
    clean = text.valid_utf8(texts)
    if not settings["preprocessor"]:
        return {features.CLEAN_TEXT: clean}
    preprocessor = tft.make_and_track_object(
        lambda: text.load_preprocessor(settings["preprocessor"]), name="preprocessor"
    )
    return {name: tf.cast(tensor, tf.int64) for name, tensor in preprocessor(clean).items()}

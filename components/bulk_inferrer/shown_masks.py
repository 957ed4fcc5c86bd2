"""Masks of the examples that a report shows: the true one, and the one that the candidate gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from transforms import features
from transforms.masks import VOID, from_png, in_colours


class ShownMasks:
    """Asks a model once more about single examples: masks of all would take much room."""

    def __init__(self, model: str, classes: Sequence[str]):
        """Loads a model from its folder; in what is written, a value is a place in `classes`."""
        self._serve = tf.saved_model.load(model).signatures["serving_default"]
        self._classes = list(classes)

    def write(self, record: bytes, stem: Path) -> dict[str, str]:
        """Writes both masks of a serialised raw example; returns the names of the files, as `Sample` has them."""
        feature = tf.train.Example.FromString(record).features.feature
        served = self._serve(examples=tf.constant([record]))
        masks = {
            "true_mask": (
                feature[features.LABEL].bytes_list.value,
                from_png(feature[features.MASK].bytes_list.value[0]),
            ),
            "said_mask": (served["classes"].numpy()[0].tolist(), served["mask"].numpy()[0]),
        }
        written = {}
        for name, (own, mask) in masks.items():
            columns = np.full(VOID + 1, VOID, np.uint8)
            columns[: len(own)] = [self._classes.index(each.decode()) for each in own]
            path = stem.with_name(f"{stem.name}_{name}.png")
            path.write_bytes(in_colours(columns[mask]))
            written[name] = path.name
        return written

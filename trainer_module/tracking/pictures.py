"""Pictures of a training for its trackers: what augmentation makes of examples, which classes are taken for which."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from finetune.config import AugmentationConfig
from trainer_module.examples.input_data import Split, parse
from trainer_module.modalities import MODALITIES
from trainer_module.phases.setup import Setup
from trainer_module.tracking.entries import Picture

# Rows of a sheet, and changed copies beside each example.
SHOWN, COPIES = 4, 5
# What the sheet is called where no phase is named.
SEARCHED = "search"
# Of more classes, names and counts would be too small to read.
CLASSES_NAMED = 25
_INCHES_PER_CLASS, _LEAST_INCHES, _MOST_INCHES = 0.4, 3.0, 12.0


def of_augmentation(setup: Setup, run: str) -> Iterator[Picture]:
    """Yields a sheet for each augmentation that the phases, or those of a search, have, where it changes pictures."""
    phases = [(phase.name, phase.augmentation or setup.augmentation) for phase in setup.training.phases]
    sheets: list[AugmentationConfig] = []
    for name, config in phases or [(SEARCHED, setup.augmentation)]:
        if config.is_active and config not in sheets:
            sheets.append(config)
            sheet = augmentation_sheet(setup.train, config, setup.training.seed)
            if sheet is not None:
                yield _picture(run, f"augmentation/{name}", sheet)


def of_mistakes(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], run: str) -> Iterator[Picture]:
    """Yields the confusion matrix of examples that training had not seen, where an example has one label."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        yield _picture(run, "confusion", confusion_matrix(labels, probabilities.argmax(axis=1), classes))


def augmentation_sheet(split: Split, config: AugmentationConfig, seed: int) -> bytes | None:
    """Returns examples and what augmentation makes of each beside it, as a PNG file; None of what is no picture."""
    augment, rows = MODALITIES[split.inputs.modality].augment, []
    for number, record in enumerate(split.records.take(SHOWN)):
        value, _ = parse(record, split)
        if isinstance(value, dict) or value.shape.rank != 3 or value.shape[-1] != 3:
            return None
        copies = [augment(value, tf.constant([seed + copy, number], tf.int64), config) for copy in range(COPIES)]
        rows.append(tf.concat([tf.cast(each, tf.float32) for each in (value, *copies)], axis=1))
    sheet = tf.cast(tf.clip_by_value(tf.round(tf.concat(rows, axis=0)), 0, 255), tf.uint8)
    return bytes(tf.io.encode_png(sheet).numpy())


def confusion_matrix(labels: np.ndarray, said: np.ndarray, classes: Sequence[str]) -> bytes:
    """Draws the share of each class (row) that is taken for each (column), as a PNG file.

    Args:
        labels, said: int [examples], columns of classes.
        classes: Names.
    """
    from matplotlib.figure import Figure

    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (labels, said), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(_INCHES_PER_CLASS * len(classes), _LEAST_INCHES), _MOST_INCHES)
    figure = Figure(figsize=(side + 1, side + 1), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= CLASSES_NAMED:
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=90, parse_math=False)
        axes.set_yticks(places, classes, parse_math=False)
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    axes.set_title(f"{len(labels):,} held-out examples", fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()


def _picture(run: str, name: str, png: bytes) -> Picture:
    return Picture(run=run, name=name, png=base64.b64encode(png).decode())

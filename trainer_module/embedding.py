"""What the frozen backbone gives for the examples of splits, before anything is trained.

It is kept where the Trainer keeps what it gives for phases of the head alone, so that whoever comes second computes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import tensorflow_transform as tft

from trainer_module.examples.input_data import both, labels, load_split
from trainer_module.fitted_head import HEAD_ALONE, LastLayer
from trainer_module.probe import held_out_logits
from trainer_module.recipe import make_setup


@dataclass(frozen=True)
class Embedding:
    """Examples of all splits, those of the first split before those of the second.

    Attributes:
        classes: Names, in the order of columns.
        keys: Of each example, as Transform gives it.
        groups: Of each example, what it shares with others; empty where nothing is known.
        splits: str [examples].
        labels: bool [examples, classes].
        features: float32 [examples, features].
        held_out: float32 [examples, classes], probabilities by logistic regression on the features of other examples of
            train and val; NaN for those of test.
    """

    classes: list[str]
    keys: list[str]
    splits: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    held_out: np.ndarray
    groups: Sequence[str] = ()


def embed(settings: dict[str, Any], transform_output: tft.TFTransformOutput, files: Mapping[str, str]) -> Embedding:
    """Computes what is not kept yet.

    Args:
        settings: As of `recipe.run_fn`; of `training`, the head and the phases are not asked for.
        transform_output: Of the Transform graph.
        files: Pattern of the transformed examples of each split; train and val, and test where it is looked at.
    """
    training = {**settings["training"], "head": {"units": [], "dropout": 0.0}, "phases": [HEAD_ALONE.model_dump()]}
    setup = make_setup({**settings, "training": training}, transform_output, [files["train"]], [files["val"]])
    splits = {"train": setup.train, "val": setup.val}
    splits |= {
        name: load_split([pattern], setup.train.inputs, setup.train.labels, setup.training.memory_mb * 1024**2)
        for name, pattern in files.items()
        if name not in splits
    }
    # One pass, through a network that is compiled once.
    whole, classes = reduce(both, splits.values()), len(setup.classes)
    of_each = labels(whole).numpy()
    features = LastLayer(setup).frozen_values(whole)
    seen = setup.train.examples + setup.val.examples
    logits = held_out_logits(
        setup.task, features[:seen], of_each[:seen], classes, setup.training.seed, whole.groups[:seen]
    )
    targets = setup.task.targets(of_each, classes)
    held_out = np.full((whole.examples, classes), np.nan, np.float32)
    held_out[:seen] = setup.task.of_logits(targets[:seen], logits).probabilities
    return Embedding(
        list(setup.classes),
        list(whole.keys),
        np.repeat(list(splits), [split.examples for split in splits.values()]),
        targets > 0,
        features,
        held_out,
        list(whole.groups),
    )

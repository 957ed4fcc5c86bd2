"""Whether the exported model averages a picture with its mirror image: as the config or held-out examples say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from finetune.artifacts.training_history import Averaging
from finetune.events import Note, emit
from trainer_module.calibration import as_served
from trainer_module.examples.input_data import labels
from trainer_module.fitted_head import LastLayer
from trainer_module.mirror_images import stand_for_pictures
from trainer_module.phases.setup import Setup
from trainer_module.search.decisions import Scores, compare
from trainer_module.trained import HeldOut, Trained


def with_averaging(
    setup: Setup, trained: Trained, last_layer: LastLayer, further: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> Trained:
    """Settles it for a training whose weights, which have not seen validation, are in the model.

    `training.test_time_augmentation: measured` averages where that wins against a single image as a dearer candidate of
    `auto` does against a simpler one. Where mirror images stand for pictures, which of the two was taken is chance, so
    the single image has the mean loss of both; its difference from that of the mean logits varies far less from example
    to example, so that a hundred of them can tell. Nothing is settled where they do not stand for pictures.

    Args:
        setup: Of the training.
        trained: What it gave.
        last_layer: Of the model.
        further: Of each part of train that was held out as well, the labels, and the logits of pictures and mirror
            images as the training gave them that had not seen the part, float32 [2, examples, classes].

    Returns:
        What the training gave, with what was settled, and with the held-out logits of what is served.
    """
    wanted = setup.training.test_time_augmentation
    if wanted == "none" or not stand_for_pictures(setup):
        return trained
    parts = [(labels(setup.val).numpy(), last_layer.logits_of_both(setup.val)), *further]
    singles, means = zip(*(_judged(setup, *part) for part in parts), strict=True)
    comparison = compare(Scores.of_parts(singles), Scores.of_parts(means))
    reason = comparison.reason("a single image")
    applied = wanted == "flip" or comparison.wins
    settled = Averaging(
        applied=applied,
        asked_for=wanted == "flip",
        gain=comparison.gain,
        standard_error=comparison.standard_error,
        reason=reason,
    )
    told = "averages" if applied else "does not average"
    emit(Note(text=f"{setup.component}: the exported model {told} pictures with their mirror images; {reason}"))
    trained = dataclasses.replace(trained, averaging=settled)
    if not applied or trained.held_out is None:
        return trained
    held_out = HeldOut.of_parts([(of_each, both.mean(axis=0)) for of_each, both in parts])
    return dataclasses.replace(trained, held_out=held_out)


def _judged(setup: Setup, of_each: np.ndarray, both: np.ndarray) -> tuple[Scores, Scores]:
    """Judges the logits of pictures and mirror images: the mean of what each loses, and what their mean loses."""
    single = scores_of(setup, np.concatenate([of_each, of_each]), np.concatenate(both))
    of_pairs = Scores(*(each.reshape(2, -1).mean(axis=0) for each in (single.losses, single.hits)))
    return of_pairs, scores_of(setup, of_each, both.mean(axis=0))


def scores_of(setup: Setup, of_val: np.ndarray, logits: np.ndarray) -> Scores:
    """Judges logits of validation examples, at the temperature at which they would be served.

    Args:
        setup: Of the training.
        of_val: Labels of these examples, as the task has them.
        logits: float32 [validation examples, classes].
    """
    targets = setup.task.targets(of_val, len(setup.classes))
    judged = as_served(setup.training, setup.task, targets, logits)
    return Scores(judged.losses, judged.hits)

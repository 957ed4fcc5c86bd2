"""Whether the exported model averages a picture with its mirror image: as the config says, or as validation does."""

from __future__ import annotations

import dataclasses

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


def with_averaging(setup: Setup, trained: Trained, last_layer: LastLayer) -> Trained:
    """Settles it for a training whose weights, which have not seen validation, are in the model.

    `training.test_time_augmentation: measured` averages where that wins against a single image as a dearer candidate of
    `auto` does against a simpler one. Where mirror images stand for pictures, which of the two was taken is chance, so
    the single image has the mean loss of both; its difference from that of the mean logits varies far less from example
    to example, so that a hundred of them can tell. Nothing is settled where they do not stand for pictures.

    Returns:
        What the training gave, with what was settled, and with the held-out logits of what is served.
    """
    wanted = setup.training.test_time_augmentation
    if wanted == "none" or not stand_for_pictures(setup):
        return trained
    of_val = labels(setup.val).numpy()
    both = last_layer.logits_of_both(setup.val)
    mean = both.mean(axis=0)
    single = scores_of(setup, np.concatenate([of_val, of_val]), np.concatenate(both))
    of_pairs = Scores(*(each.reshape(2, -1).mean(axis=0) for each in (single.losses, single.hits)))
    comparison = compare(of_pairs, scores_of(setup, of_val, mean))
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
    return dataclasses.replace(trained, held_out=HeldOut(of_val, mean, "the validation split"))


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

"""Fits the head that all candidates begin with, and finds out whether mirror images may stand for pictures."""

from __future__ import annotations

from finetune.events import Note, emit
from trainer_module.fitted_head import MOST_MIRRORED, LastLayer, judged_held_out
from trainer_module.modalities import MODALITIES
from trainer_module.phases.setup import Setup
from trainer_module.probe import Probe
from trainer_module.search.decisions import Scores, compare

# Cross-validations that decide about mirror images, of up to so many examples: of few, how they fall into folds weighs.
REPEATS, MOST_REPEATED = 3, 1_000


def first_fit(setup: Setup) -> tuple[Setup, LastLayer, Probe]:
    """Fits the head, and finds out where nothing is said whether mirror images may stand for pictures.

    Returns:
        The setup with what was found, and its last layer with the probe that it has taken.
    """
    mirrors = "horizontal_flip" in MODALITIES[setup.train.inputs.modality].augments
    undecided = mirrors and setup.augmentation.horizontal_flip is None and setup.train.examples <= MOST_MIRRORED
    last_layer = LastLayer(setup)
    plain = last_layer.fit(setup.train)
    if not undecided:
        return setup, last_layer, plain
    flipped = setup.with_flips(True)
    mirrored_layer = LastLayer(flipped)
    mirrored = mirrored_layer.fit(flipped.train)
    comparison = compare(*(_judged(setup, *each) for each in ((last_layer, plain), (mirrored_layer, mirrored))))
    allowed = comparison.does_no_harm
    told = "stand for pictures" if allowed else "do not stand for pictures"
    figures = f"{-comparison.gain:+.4f}, standard error {comparison.standard_error:.4f}"
    emit(Note(text=f"{setup.component}: mirror images {told}: with them, the held-out loss changes by {figures}"))
    if allowed:
        return flipped, mirrored_layer, mirrored
    last_layer.take(plain)
    return setup.with_flips(False), last_layer, plain


def _judged(setup: Setup, last_layer: LastLayer, probe: Probe) -> Scores:
    """Judges a fit on what its folds held out, of few examples several times, each shuffled anew."""
    train, seed = setup.train, setup.training.seed
    repeats = REPEATS if train.examples <= MOST_REPEATED else 1
    further = (last_layer.probe_of(train, seed + number) for number in range(1, repeats))
    found = [(each.rows, judged_held_out(setup, train, each)) for each in (probe, *further)]
    return Scores.mean_of(train.examples, [(rows, Scores(each.losses, each.hits)) for rows, each in found])

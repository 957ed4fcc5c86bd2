"""What the course of a training says in words: each finding with its numbers and the key to change."""

from __future__ import annotations

import math
from collections.abc import Sequence

from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CurvePoint, PhaseRow
from pipeline.report.formats import count, label, number, percent

# A validation loss this much above its lowest, while training still gains, is more than noise.
RISE = 0.1
# A loss that falls by less than this over a whole phase does not move; by more over its last fifth, it still falls.
STILL = 0.02
LAST_SHARE = 0.2
# Fewer epochs show no trend.
LEAST_EPOCHS = 3
# Two models whose accuracy on validation differs by less cannot be told apart, where the 95 % interval is this wide.
WIDE = 0.05


def diagnose(curves: Sequence[CurvePoint], summary: RunSummary) -> list[str]:
    """Says where a training over-fits, under-fits, hardly moves, gains nothing, or is judged on too few examples.

    Returns:
        A sentence or two for each finding, in the order of the phases; none where nothing stands out.
    """
    found = []
    for index, phase in enumerate(summary.phases):
        points = [point for point in curves if point.phase == phase.name]
        if all(math.isfinite(value) for point in points for value in (point.loss, point.val_loss)):
            key = "training.phases of your own: " if summary.search else f"training.phases[{index}]."
            found.append(_of_phase(phase, points, key, summary.calibration is not None))
    found.append(_of_validation(summary))
    return [sentence for sentence in found if sentence]


def _of_phase(phase: PhaseRow, points: Sequence[CurvePoint], key: str, calibrated: bool) -> str:
    """The one finding that explains the others: what gains nothing neither over-fits nor wants more epochs.

    A model that only grew too sure of itself, as right as it was at its lowest loss, does not over-fit where a
    temperature takes that back.
    """
    name = label(phase.name)
    before_all = points and phase.best_epoch == 0 and phase.val_loss <= min(point.val_loss for point in points)
    if before_all or phase.interpolation == 0:
        return (
            f"{name} did nothing: in {count(phase.epochs)} epochs the validation loss was never lower than the "
            f"{number(phase.val_loss)} before it. Leave it out, or change `{key}learning_rate`, up or down by 3."
        )
    if len(points) < LEAST_EPOCHS:
        return ""
    first, last = points[0], points[-1]
    if 0 <= first.loss - last.loss < STILL * first.loss:
        return (
            f"{name} hardly moves: the training loss went from {number(first.loss)} to {number(last.loss)} in "
            f"{count(phase.epochs)} epochs, so its rate of {max(point.learning_rate for point in points):.2g} is too "
            f"low. Raise `{key}learning_rate` to 3 to 10 times that."
        )
    best = min(points, key=lambda point: point.val_loss)
    only_too_sure = calibrated and last.val_accuracy >= best.val_accuracy
    if last.val_loss > (1 + RISE) * best.val_loss and last.loss < best.loss and not only_too_sure:
        return (
            f"{name} over-fits: from epoch {best.epoch} on the validation loss rose from {number(best.val_loss)} to "
            f"{number(last.val_loss)}, while the training loss fell from {number(best.loss)} to {number(last.loss)}. "
            f"Set `{key}epochs` to about {best.epoch}, or change more of each example (`augmentation`)."
        )
    before = points[-1 - max(1, round(LAST_SHARE * len(points)))]
    falling = before.val_loss - last.val_loss > STILL * before.val_loss and last.loss < before.loss
    if falling and best is last and not phase.stopped_early:
        return (
            f"{name} under-fits: its last {count(last.epoch - before.epoch)} of {count(phase.epochs)} epochs still "
            f"brought the validation loss from {number(before.val_loss)} to {number(last.val_loss)}. Raise "
            f"`{key}epochs`."
        )
    return ""


def _of_validation(summary: RunSummary) -> str:
    """Whether the validation split can tell models apart (normal interval of a proportion)."""
    examples = summary.splits.get("val", 0)
    if not examples or not summary.phases:
        return ""
    accuracy = summary.phases[-1].val_accuracy
    half = 1.96 * math.sqrt(max(accuracy * (1 - accuracy), 1 / examples) / examples)
    if not half > WIDE:
        return ""
    return (
        f"Validation is too small to tell: on {count(examples)} examples an accuracy of {percent(accuracy)} is known "
        f"to within {100 * half:.0f} points, so smaller gains may be chance. Give `data.splits.val` more examples; "
        f"{count(math.ceil(examples * (half / WIDE) ** 2))} would do for {100 * WIDE:.0f} points."
    )

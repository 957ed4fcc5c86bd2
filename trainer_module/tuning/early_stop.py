"""Which trials end before their time: the median stopping rule. No TensorFlow here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from finetune.config import EarlyStopConfig

Course = Sequence[float | None]


def verdict(config: EarlyStopConfig, course: Course, others: Sequence[Course], higher_is_better: bool) -> str:
    """Says why a trial ends now; "" where it goes on.

    It ends after an epoch if its best score so far is strictly worse than the median of the running averages of other
    trials' scores up to that epoch (Golovin et al. 2017, section 3.2.2). Others count that are over, those that were
    stopped included, each with as many epochs as it has: were they left out, the median would be that of ever better
    trials.

    Args:
        config: How many epochs and trials it takes.
        course: Score after each epoch of a phase so far; None where it is undefined.
        others: Those of trials that are over, in the same phase.
        higher_is_better: Direction of scores.
    """
    reached, averages = _known(course), [fmean(known) for each in others if (known := _known(each[: len(course)]))]
    if len(course) < config.after_epochs or len(averages) < config.after_trials or not reached:
        return ""
    best, middle = (max if higher_is_better else min)(reached), median(averages)
    if not (best < middle if higher_is_better else best > middle):
        return ""
    return (
        f"its best score by epoch {len(course)}, {best:.4f}, was worse than {middle:.4f}, the median of what others "
        f"averaged by then ({len(averages)} of them)"
    )


def _known(course: Course) -> list[float]:
    return [score for score in course if score is not None and math.isfinite(score)]

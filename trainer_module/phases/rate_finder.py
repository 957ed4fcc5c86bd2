"""What a learning-rate range test says: the rising rates, the smoothed curve, the suggestion. No TensorFlow here.

The test trains for a short while with a rate that rises exponentially from step to step and watches the loss (Smith
2017, section 3.3): far too low a rate leaves it as it is, a good one lowers it, too high a one makes it diverge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from finetune.errors import RunError

# Weight of the past in the smoothed loss; it lags by about ten steps, half a decade of the rates by default.
MEMORY = 0.9
# Until there is a past, the smoothed loss is as noisy as the loss: no slope of it means anything.
EARLY_STEPS = 10
# The test ends when the smoothed loss is so many times its lowest value.
DIVERGED = 4.0
# The suggestion is this share of the rate at which the smoothed loss is lowest.
SHARE_OF_LOWEST = 0.1
# A fall of the smoothed loss of less than this share of it is not told from noise.
LEAST_FALL = 0.01


@dataclass(frozen=True)
class Suggestion:
    """A suggestion is what a curve says."""

    # To train with: a tenth of that at which the smoothed loss is lowest, where it falls well and is far enough from
    # diverging (the rule `minimum / 10` of fastai's `lr_find`).
    rate: float
    lowest_at: float  # Where the smoothed loss is lowest.
    steepest_at: float  # Where it falls fastest, for comparison: often a little above or below the suggestion.
    still_falling: bool  # Whether it is lowest at the very end, so that higher rates should be tried too.


def rising_rates(lowest: float, highest: float, steps: int) -> list[float]:
    """Returns rates from `lowest` to `highest`, each the same factor above the one before."""
    return [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Returns exponential moving averages, corrected for their start as in Adam (Kingma and Ba 2015, section 3)."""
    average, curve = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = MEMORY * average + (1 - MEMORY) * loss
        curve.append(average / (1 - MEMORY**count))
    return curve


def has_diverged(losses: Sequence[float]) -> bool:
    """Says whether it is pointless to try higher rates."""
    if not math.isfinite(losses[-1]):
        return True
    curve = smoothed(losses)
    return curve[-1] > DIVERGED * min(curve)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """Reads a rate off the curve of three or more finite losses of the training batch, at rising rates.

    Raises:
        RunError: The loss falls nowhere.
    """
    curve = smoothed(losses)
    if len(curve) < 3:
        raise RunError(
            f"lr-find: the loss left all bounds after {len(curve)} steps, at a rate of {rates[len(curve) - 1]:g}. "
            "Begin lower (--lowest)."
        )
    lowest = min(range(len(curve)), key=curve.__getitem__)
    if curve[lowest] > (1 - LEAST_FALL) * curve[0]:
        raise RunError(
            f"lr-find: the loss falls at no rate from {rates[0]:g} to {rates[len(curve) - 1]:g}: it is {curve[0]:.4g} "
            f"at first and {curve[lowest]:.4g} at its lowest. Try higher rates (--highest), more steps (--steps), or a "
            "phase that trains more."
        )
    # The rates rise by one factor, so that differences from step to step are slopes over the logarithm of the rate.
    slopes = [after - before for before, after in pairwise(curve)]
    steepest = min(range(min(EARLY_STEPS, lowest - 1), lowest), key=slopes.__getitem__)
    return Suggestion(
        rate=SHARE_OF_LOWEST * rates[lowest],
        lowest_at=rates[lowest],
        steepest_at=rates[steepest],
        still_falling=lowest == len(curve) - 1,
    )

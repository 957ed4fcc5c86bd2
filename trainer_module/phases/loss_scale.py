"""Dynamic loss scaling: keeps small gradients above what float16 can hold. No TensorFlow here.

The loss is multiplied by a factor before the backward pass and the gradients are divided by it after (Micikevicius et
al. 2018, section 3.2). Where a gradient overflows, the update is skipped and the factor halved; after many updates
without overflow it is doubled. The first factor and the number of updates are those of Keras' `LossScaleOptimizer`.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL_SCALE = 2.0**15
STEPS_TO_GROW = 2000


@dataclass(frozen=True)
class LossScale:
    """A loss scale is the factor, and how it came about."""

    value: float = INITIAL_SCALE  # What the loss is multiplied with.
    good_steps: int = 0  # Updates without overflow since it last changed.

    def after(self, overflowed: bool) -> LossScale:
        """Returns the factor of the next step."""
        if overflowed:
            return LossScale(self.value / 2)
        if self.good_steps + 1 == STEPS_TO_GROW:
            return LossScale(self.value * 2)
        return LossScale(self.value, self.good_steps + 1)

    @property
    def is_exhausted(self) -> bool:
        """Says whether gradients overflow even as they are, so that no factor can help."""
        return self.value < 1

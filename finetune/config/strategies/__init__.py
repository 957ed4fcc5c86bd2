"""The strategies that `training.strategy` names: one file and one line of the table each."""

from __future__ import annotations

from finetune.config.strategies.adaptive import ADAPTIVE
from finetune.config.strategies.base import Strategy
from finetune.config.strategies.discriminative import DISCRIMINATIVE
from finetune.config.strategies.full import FULL
from finetune.config.strategies.gradual import GRADUAL
from finetune.config.strategies.linear_probe import LINEAR_PROBE
from finetune.config.strategies.two_phase import TWO_PHASE

__all__ = ["AUTO", "STRATEGIES", "Strategy"]

# Not a strategy but the wish that the Trainer picks one of them.
AUTO = "auto"

STRATEGIES: dict[str, Strategy] = {
    "linear_probe": LINEAR_PROBE,
    "two_phase": TWO_PHASE,
    "gradual": GRADUAL,
    "adaptive": ADAPTIVE,
    "full": FULL,
    "discriminative": DISCRIMINATIVE,
}

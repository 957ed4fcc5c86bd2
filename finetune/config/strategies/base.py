"""What a strategy is, and the phases that several strategies are made of."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config.phases import EarlyStoppingConfig, PhaseConfig
from finetune.config.unfreeze import Unfreeze


@dataclass(frozen=True)
class Strategy:
    """A list of phases that `training.strategy` names.

    Attributes:
        phases: They run one after the other.
        why: A sentence: what it is for, and where it comes from.
    """

    phases: tuple[PhaseConfig, ...]
    why: str


# A new head comes first in every strategy: through a head of random weights, the first gradients would spoil what the
# backbone has learned (Kumar et al. 2022). 1e-3 for ten epochs is where practice starts (Keras guide to transfer
# learning).
HEAD = PhaseConfig(name="head", epochs=10, learning_rate=1e-3)


def one_block_more(epochs: int, patience: int) -> tuple[PhaseConfig, ...]:
    """Returns three phases that train one block more each (gradual unfreezing, Howard and Ruder 2018)."""
    return tuple(
        PhaseConfig(
            name=f"block_{blocks}_from_top",
            unfreeze=Unfreeze(last_blocks=blocks),
            epochs=epochs,
            learning_rate=1e-5,
            early_stopping=EarlyStoppingConfig(patience=patience),
        )
        for blocks in (1, 2, 3)
    )

"""`full`: the head, then everything."""

from __future__ import annotations

from finetune.config.phases import PhaseConfig
from finetune.config.strategies.base import HEAD, Strategy
from finetune.config.unfreeze import Unfreeze

FULL = Strategy(
    phases=(HEAD, PhaseConfig(name="fine_tune", unfreeze=Unfreeze(last_layers="all"), epochs=20, learning_rate=1e-5)),
    why="All layers follow the head at a low rate: with many examples, every layer has enough to learn from.",
)

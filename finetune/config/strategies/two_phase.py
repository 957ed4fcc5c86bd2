"""`two_phase`: the head, then the last layers of the backbone as well."""

from __future__ import annotations

from finetune.config.phases import PhaseConfig
from finetune.config.strategies.base import HEAD, Strategy
from finetune.config.unfreeze import Unfreeze

TWO_PHASE = Strategy(
    phases=(HEAD, PhaseConfig(name="fine_tune", unfreeze=Unfreeze(last_layers=10), epochs=20, learning_rate=1e-5)),
    why="The last ten layers follow the head at a rate two orders of magnitude lower (Keras guide to transfer "
    "learning): the starting values of practice.",
)

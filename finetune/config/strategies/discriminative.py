"""`discriminative`: the head, then everything, lower blocks at lower rates."""

from __future__ import annotations

from finetune.config.phases import PhaseConfig, ScheduleConfig
from finetune.config.strategies.base import HEAD, Strategy
from finetune.config.unfreeze import Unfreeze

DISCRIMINATIVE = Strategy(
    phases=(
        HEAD,
        PhaseConfig(
            name="fine_tune",
            unfreeze=Unfreeze(last_layers="all"),
            epochs=20,
            learning_rate=1e-4,
            schedule=ScheduleConfig(name="cosine", warmup_epochs=2),
            block_rate_factor=0.38,  # 1 / 2.6 (Howard and Ruder 2018, section 3.2)
        ),
    ),
    why="Each block learns at 0.38 times the rate of the one above it: lower features are more general and should "
    "move less (Howard and Ruder 2018).",
)

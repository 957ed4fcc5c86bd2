"""`linear_probe`: the head alone."""

from __future__ import annotations

from finetune.config.strategies.base import HEAD, Strategy

LINEAR_PROBE = Strategy(
    phases=(HEAD.model_copy(update={"epochs": 30}),),
    why="The head alone trains: with few examples, fine-tuning gains nothing over it (Kornblith et al. 2019).",
)

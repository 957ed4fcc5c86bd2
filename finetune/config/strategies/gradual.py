"""`gradual`: the head, then one block of the backbone more in each phase."""

from __future__ import annotations

from finetune.config.strategies.base import HEAD, Strategy, one_block_more

GRADUAL = Strategy(
    phases=(HEAD, *one_block_more(epochs=7, patience=5)),
    why="Blocks unfreeze from the top, one a phase, so that lower layers forget less (Howard and Ruder 2018).",
)

"""`adaptive`: as `gradual`, at a pace that the validation loss sets."""

from __future__ import annotations

from finetune.config.strategies.base import HEAD, Strategy, one_block_more

ADAPTIVE = Strategy(
    phases=(HEAD, *one_block_more(epochs=40, patience=2)),
    why="Early stopping sets the pace: the next block unfreezes when the validation loss stops improving.",
)

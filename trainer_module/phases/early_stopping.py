"""When a phase ends, and which of its epochs was best. No TensorFlow here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finetune.config import EarlyStoppingConfig


@dataclass
class EarlyStopping:
    """Follows the validation loss of a phase."""

    config: EarlyStoppingConfig | None  # Patience and least gain; None never stops.
    best_epoch: int = 0  # Epoch with the lowest validation loss, from 1; 0 stands for the weights before the phase.
    best_loss: float = math.inf  # That loss.
    _last_gain: int = 0
    _loss_to_beat: float = math.inf

    def is_best(self, epoch: int, val_loss: float) -> bool:
        """Takes the loss of an epoch and says whether it is the lowest so far."""
        min_delta = self.config.min_delta if self.config else 0.0
        if val_loss < self._loss_to_beat - min_delta:
            self._loss_to_beat, self._last_gain = val_loss, epoch
        if not val_loss < self.best_loss:
            return False
        self.best_loss, self.best_epoch = val_loss, epoch
        return True

    def out_of_patience(self, epoch: int) -> bool:
        """Says whether too many epochs have passed without a gain that counts."""
        return self.config is not None and epoch - self._last_gain >= self.config.patience

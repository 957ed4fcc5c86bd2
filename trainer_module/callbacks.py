"""What happens at the end of steps and epochs: progress, the best weights, numbers that go bad."""

from __future__ import annotations

import math
import time
from typing import Any

import tf_keras as keras

from pipeline import events
from pipeline.config import EarlyStoppingConfig, PhaseConfig
from pipeline.errors import RunError


class BestWeights(keras.callbacks.Callback):
    """Ends a phase when validation loss stops improving, and always leaves the best weights behind.

    Unlike `keras.callbacks.EarlyStopping(restore_best_weights=True)`, the best weights are restored also when the phase
    runs through all of its epochs.

    Attributes:
        best_epoch: Epoch with the lowest validation loss, from 1.
        stopped_early: Whether patience ran out before the epochs did.
    """

    def __init__(self, early_stopping: EarlyStoppingConfig | None):
        super().__init__()
        self._patience = early_stopping.patience if early_stopping else math.inf
        self._min_delta = early_stopping.min_delta if early_stopping else 0.0
        self._best_loss = math.inf
        self._last_gain = 0
        self._best_weights: list[Any] | None = None
        self.best_epoch = 0
        self.stopped_early = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        loss = logs["val_loss"]
        if loss < self._best_loss - self._min_delta:
            self._last_gain = epoch
        if loss < self._best_loss:
            self._best_loss, self.best_epoch = loss, epoch + 1
            self._best_weights = self.model.get_weights()
        if epoch - self._last_gain >= self._patience and epoch + 1 < self.params["epochs"]:
            self.stopped_early = self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)


class Progress(keras.callbacks.Callback):
    """Tells the live view about steps and epochs, and collects the learning curve.

    Attributes:
        curve: One dict an epoch: `phase`, `epoch` (from 1), `loss`, `accuracy`, `val_loss`, `val_accuracy`,
            `learning_rate`.
    """

    SECONDS_BETWEEN_STEPS = 0.25

    def __init__(self, component: str, phase: PhaseConfig):
        super().__init__()
        self._where = {"component": component, "phase": phase.name}
        self._phase = phase
        self._epoch = 0
        self._epoch_start = self._last_step_event = 0.0
        self.curve: list[dict[str, Any]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch, self._epoch_start = epoch + 1, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._last_step_event >= self.SECONDS_BETWEEN_STEPS:
            self._last_step_event = now
            events.emit("step", **self._where, epoch=self._epoch, step=batch + 1, **_plain(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        numbers = _plain(logs)
        self.curve.append(
            {"phase": self._phase.name, "epoch": epoch + 1, **numbers, "learning_rate": self._phase.learning_rate}
        )
        events.emit(
            "epoch",
            **self._where,
            epoch=epoch + 1,
            epochs=self._phase.epochs,
            **numbers,
            seconds=time.monotonic() - self._epoch_start,
        )
        bad = sorted(name for name in ("loss", "val_loss") if not math.isfinite(numbers[name]))
        if bad:
            raise RunError(
                f"phase {self._phase.name}, epoch {epoch + 1}: {' and '.join(bad)} became "
                f"{numbers[bad[0]]} at learning rate {self._phase.learning_rate:g}. "
                "A rate ten times lower is the usual cure."
            )


def _plain(logs: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}

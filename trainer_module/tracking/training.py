"""Tracks a training: its events become numbers for TensorBoard and MLflow. A server that is down does not end it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.config import TrackingConfig
from finetune.events import Epoch, Event, PhaseFinished, subscribe
from trainer_module.tracking.mlflow import Mlflow
from trainer_module.tracking.outbox import Outbox
from trainer_module.tracking.tensorboard import TensorBoard

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Tracking:
    """Says where the numbers of a training go."""

    outboxes: tuple[Outbox, ...]

    @property
    def mlflow_run(self) -> str:
        """The id of the run of MLflow; empty without one, or while no server answered."""
        ids = [outbox.tracker.run_id for outbox in self.outboxes if isinstance(outbox.tracker, Mlflow)]
        return ids[0] if ids else ""


@contextmanager
def tracked(
    config: TrackingConfig, folder: str, key: str, name: str, settings: Mapping[str, Any]
) -> Iterator[Tracking]:
    """Tracks the training of a pipeline node that goes on in its block.

    Each epoch writes its metrics twice: as `val_loss` by the number of the epoch in all phases, and as
    `<phase>/val_loss` by that in the phase. Each phase writes `<phase>/best_val_loss` and `<phase>/best_val_accuracy`.

    Args:
        folder: Folder of TensorBoard's event files; one folder below it for each training.
        key: Fingerprint of the training; one that goes on after a kill has the same, and continues its curves.
        settings: What is written as parameters.
    """
    outboxes = []
    if config.tensorboard:
        outboxes.append(Outbox("TensorBoard", lambda: TensorBoard(Path(folder) / f"{name}-{key[:8]}")))
    if config.mlflow:
        server = config.mlflow
        outboxes.append(Outbox("MLflow", lambda: Mlflow(server.uri, server.experiment, key, name, flat(settings))))
    for outbox in outboxes:
        outbox.deliver()

    def log(event: Event) -> None:
        for values, step in numbers(event, name):
            for outbox in outboxes:
                outbox.log(values, step)

    succeeded = False
    try:
        with subscribe(log):
            yield Tracking(tuple(outboxes))
        succeeded = True
    finally:
        for outbox in outboxes:
            outbox.close(succeeded)


def flat(settings: Any, prefix: str = "") -> dict[str, str]:
    """Returns nested settings as dotted keys and texts: `training.phases.0.epochs`."""
    if isinstance(settings, Mapping):
        pairs: Sequence[tuple[Any, Any]] = list(settings.items())
    elif isinstance(settings, list):
        pairs = list(enumerate(settings))
    else:
        return {prefix: str(settings)}
    found: dict[str, str] = {}
    for key, value in pairs:
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def numbers(event: Event, component: str) -> list[tuple[dict[str, float], int]]:
    """Returns what an event of a component has to say to trackers: metrics by name, each with its step."""
    if isinstance(event, Epoch) and event.component == component:
        metrics = {name: getattr(event, name) for name in METRICS}
        return [(metrics, event.number), ({f"{event.phase}/{name}": metrics[name] for name in METRICS}, event.epoch)]
    if isinstance(event, PhaseFinished) and event.component == component:
        best = {"best_val_loss": event.val_loss, "best_val_accuracy": event.val_accuracy}
        return [({f"{event.phase}/{name}": value for name, value in best.items()}, event.best_epoch)]
    return []

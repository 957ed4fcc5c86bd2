"""Tracks a training: its events become entries for TensorBoard and MLflow. A tracker that fails does not end it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from finetune.config import TrackingConfig
from finetune.events import Epoch, Event, Note, PhaseFinished, TrialFinished, TrialStarted, emit, subscribe
from trainer_module.tracking.entries import Entry, Numbers, Picture, RunBegins, RunEnds
from trainer_module.tracking.journal import Journal, journal_of, journals_of
from trainer_module.tracking.mlflow import Mlflow
from trainer_module.tracking.outbox import Outbox
from trainer_module.tracking.tensorboard import TensorBoard

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Tracking:
    """Says where a training is told of."""

    run: str  # What entries call it.
    outboxes: Sequence[Outbox]
    is_kept: bool  # Whether a server has it by that name, or will.

    def put(self, entry: Entry) -> None:
        """Tells all trackers."""
        for outbox in self.outboxes:
            outbox.put(entry)


@dataclass(frozen=True)
class Places:
    """Folders that later runs share: of TensorBoard's event files, and of what servers are still to have."""

    tensorboard: str
    mlflow: str


@contextmanager
def tracked(
    config: TrackingConfig, places: Places, key: str, name: str, settings: Mapping[str, Any]
) -> Iterator[Tracking]:
    """Tracks the training of a pipeline node that goes on in its block.

    Each epoch writes its metrics twice: as `val_loss` by the number of the epoch in all phases, and as
    `<phase>/val_loss` by that in the phase. Each phase writes `<phase>/best_val_loss` and `<phase>/best_val_accuracy`.
    What is trained to be compared, and the last fit, are runs of their own, below that of the training; each ends with
    what it is compared by, such as `final/val_loss`. The last fit has no validation, whose examples it is trained on.

    Args:
        places: Where to write.
        key: Fingerprint of the training; one that goes on after a kill has the same, and goes on in its run.
        name: Id of the node.
        settings: What is written as parameters.
    """
    journal = _journal(config, places, key)
    run = next((entry.run for entry in journal.begins if not entry.parent), "") if journal else ""
    run = run or f"{key[:16]}-{uuid4().hex[:8]}"
    outboxes = []
    if config.tensorboard:
        outboxes.append(Outbox("TensorBoard", lambda: TensorBoard(Path(places.tensorboard, f"{name}-{key[:8]}"))))
    if config.mlflow:
        server = config.mlflow
        outboxes.append(Outbox("MLflow", lambda: Mlflow(server.uri, server.experiment), journal))
    tracking = Tracking(run, outboxes, bool(config.mlflow))
    for outbox in outboxes:
        outbox.start()
    tracking.put(RunBegins(run=run, title=name, parameters=flat(settings)))

    def log(event: Event) -> None:
        for entry in entries(event, name, run):
            tracking.put(entry)

    ends = None
    try:
        with subscribe(log):
            yield tracking
        ends = RunEnds(run=run, succeeded=True, at=time.time())
    except Exception:
        ends = RunEnds(run=run, succeeded=False, at=time.time())
        raise
    finally:
        # A process that was told to end leaves its run as it is, for it goes on later.
        if ends:
            tracking.put(ends)
        for outbox in outboxes:
            outbox.close()


def tell_pictures(tracking: Tracking, pictures: Iterable[Picture]) -> None:
    """Tells trackers of pictures, which are drawn for them alone; one that cannot be drawn ends nothing."""
    if not tracking.outboxes:
        return
    try:
        for picture in pictures:
            tracking.put(picture)
    except Exception as error:
        emit(Note(level="warning", text=f"a picture for the trackers was not drawn: {type(error).__name__}: {error}"))


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


def entries(event: Event, component: str, run: str) -> list[Entry]:
    """Returns what an event of a component has to say of its run, or of a trial below that."""
    if getattr(event, "component", None) != component:
        return []
    now = time.time()
    if isinstance(event, TrialStarted):
        return [RunBegins(run=f"{run}/{event.trial}", title=event.trial, parent=run, parameters=flat(event.parameters))]
    if isinstance(event, TrialFinished):
        of = f"{run}/{event.trial}"
        final = {f"final/{name}": value for name, value in event.metrics.items()}
        last = [Numbers(run=of, values=final, step=0, at=now)] if final else []
        return [*last, RunEnds(run=of, succeeded=event.succeeded, at=now)]
    if isinstance(event, Epoch):
        names = [name for name in METRICS if not (event.val_is_trained_on and name.startswith("val_"))]
        of, metrics = _run_of(event, run), {name: getattr(event, name) for name in names}
        in_phase = {f"{event.phase}/{name}": value for name, value in metrics.items()}
        return [
            Numbers(run=of, values=metrics, step=event.number, at=now),
            Numbers(run=of, values=in_phase, step=event.epoch, at=now),
        ]
    if isinstance(event, PhaseFinished) and not event.val_is_trained_on:
        best = {"best_val_loss": event.val_loss, "best_val_accuracy": event.val_accuracy}
        in_phase = {f"{event.phase}/{name}": value for name, value in best.items()}
        return [Numbers(run=_run_of(event, run), values=in_phase, step=event.best_epoch, at=now)]
    return []


def _run_of(event: Epoch | PhaseFinished, run: str) -> str:
    return f"{run}/{event.trial}" if event.trial else run


def _journal(config: TrackingConfig, places: Places, key: str) -> Journal | None:
    if config.mlflow is None:
        return None
    try:
        return journal_of(journals_of(Path(places.mlflow), config.mlflow.uri, config.mlflow.experiment), key)
    except OSError as error:
        text = f"what MLflow is to have is kept in memory alone: {error}"
        emit(Note(level="warning", text=text))
        return None

"""Training as it goes, written for TensorBoard and MLflow.

A tracker listens to the same events as the live view. What it cannot write is told once and then left: a tracking
server that is down must not end a training run.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from finetune.config import TrackingConfig
from finetune.events import Epoch, Event, Note, PhaseFinished, emit, subscribe

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
RUN_TAG = "finetune.training"
# MLflow tries for minutes by default, and training would wait for it.
_MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class Tracker(Protocol):
    """Somewhere that numbers go."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Writes numbers of one step."""

    def close(self, succeeded: bool) -> None:
        """Ends the run."""


@contextmanager
def tracked(config: TrackingConfig, folder: str, key: str, name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Tracks the training that goes on in its block.

    Each epoch writes its metrics twice: as `val_loss` by the number of the epoch in all phases, and as
    `<phase>/val_loss` by that in the phase. Each phase writes `<phase>/best_val_loss` and `<phase>/best_val_accuracy`.

    Args:
        config: Where to.
        folder: Of TensorBoard's event files; one folder below it for each training.
        key: Fingerprint of the training; one that goes on after a kill has the same, and continues its curves.
        name: Of the pipeline node.
        settings: What is written as parameters.

    Yields:
        The id of the MLflow run; empty without one.
    """
    trackers: dict[str, Tracker] = {}
    opened: dict[str, Callable[[], Tracker]] = {}
    if config.tensorboard:
        opened["TensorBoard"] = lambda: _TensorBoard(Path(folder) / f"{name}-{key[:8]}")
    if config.mlflow:
        server = config.mlflow
        opened["MLflow"] = lambda: _MLflow(server.uri, server.experiment, key, name, flat(settings))
    for title, opening in opened.items():
        _try(title, lambda: trackers.update({title: opening()}))  # noqa: B023

    def log(event: Event) -> None:
        for values, step in numbers(event, name):
            for title, tracker in list(trackers.items()):
                if not _try(title, lambda: tracker.log(values, step)):  # noqa: B023
                    del trackers[title]

    succeeded = False
    try:
        with subscribe(log):
            yield getattr(trackers.get("MLflow"), "run_id", "")
        succeeded = True
    finally:
        for title, tracker in trackers.items():
            _try(title, lambda: tracker.close(succeeded))  # noqa: B023


def log_outcome(config: TrackingConfig, run_id: str | None, metrics: Mapping[str, float], status: str) -> None:
    """Adds to a finished MLflow run what the test split said of its model: `test/<metric>`, and a tag."""
    if not (config.mlflow and run_id):
        return
    uri = config.mlflow.uri

    def log() -> None:
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        for name, value in metrics.items():
            if math.isfinite(value):
                client.log_metric(run_id, f"test/{name}", value)
        client.set_tag(run_id, "finetune.status", status)

    _try("MLflow", log)


def flat(settings: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and texts: `training.phases.0.epochs`."""
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


def _try(title: str, action: Callable[[], None]) -> bool:
    """Does something with a tracker; says why where it cannot be done."""
    try:
        action()
    except Exception as error:
        text = f"{title} is no longer written to, training goes on: {type(error).__name__}: {error}"
        emit(Note(level="warning", text=" ".join(text.split())[:300]))
        return False
    return True


class _TensorBoard:
    def __init__(self, folder: Path):
        import tensorflow as tf

        # What `tf.summary.scalar` writes; that is of the package tensorboard, which later TensorFlows do not bring.
        self._kind = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        self._kind.plugin_data.plugin_name = "scalars"
        self._write = tf.summary.write
        self._writer = tf.summary.create_file_writer(str(folder))

    def log(self, values: Mapping[str, float], step: int) -> None:
        with self._writer.as_default():
            for name, value in values.items():
                self._write(name, value, step, self._kind)
        self._writer.flush()

    def close(self, succeeded: bool) -> None:
        self._writer.close()


class _MLflow:
    def __init__(self, uri: str, experiment: str, key: str, name: str, parameters: Mapping[str, str]):
        for variable, value in _MLFLOW_PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        running = f"tags.`{RUN_TAG}` = '{key}' and attributes.status = 'RUNNING'"
        runs = self._client.search_runs([place], running)
        run = runs[0] if runs else self._client.create_run(place, run_name=name, tags={RUN_TAG: key})
        self.run_id = run.info.run_id
        if not runs:
            items = [Param(name, value) for name, value in parameters.items()]
            # A server takes a hundred at once.
            for start in range(0, len(items), 100):
                self._client.log_batch(self.run_id, params=items[start : start + 100])

    def log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self.run_id, [Metric(name, value, now, step) for name, value in values.items()])

    def close(self, succeeded: bool) -> None:
        self._client.set_terminated(self.run_id, "FINISHED" if succeeded else "FAILED")

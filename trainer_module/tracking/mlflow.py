"""Runs of MLflow."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from finetune.config import TrackingConfig
from finetune.events import Note, emit

RUN_TAG = "finetune.training"
# MLflow tries for minutes by default, and training would wait for it.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# A server takes so many at once.
_PARAMETERS_AT_ONCE = 100


class Mlflow:
    """Writes one run; a training that goes on after a kill goes on in its run."""

    def __init__(self, uri: str, experiment: str, key: str, name: str, parameters: Mapping[str, str]):
        """Finds or makes, on a server or in a folder, the experiment and the run of the training with a fingerprint."""
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        running = f"tags.`{RUN_TAG}` = '{key}' and attributes.status = 'RUNNING'"
        runs = self._client.search_runs([place], running)
        run = runs[0] if runs else self._client.create_run(place, run_name=name, tags={RUN_TAG: key})
        self.run_id: str = run.info.run_id
        items = [Param(key, value) for key, value in parameters.items() if key not in run.data.params]
        for start in range(0, len(items), _PARAMETERS_AT_ONCE):
            self._client.log_batch(self.run_id, params=items[start : start + _PARAMETERS_AT_ONCE])

    def log(self, values: Mapping[str, float], step: int, at: float) -> None:
        """Writes numbers of one step."""
        from mlflow.entities import Metric

        moment = int(1000 * at)
        self._client.log_batch(self.run_id, [Metric(name, value, moment, step) for name, value in values.items()])

    def close(self, succeeded: bool) -> None:
        """Ends the run as finished or failed."""
        self._client.set_terminated(self.run_id, "FINISHED" if succeeded else "FAILED")


def log_outcome(config: TrackingConfig, run_id: str | None, metrics: Mapping[str, float], status: str) -> None:
    """Adds to a finished run what the test split said of its model: `test/<metric>`, and its status as a tag.

    Nothing is written without a run; metrics that are not finite are left out.
    """
    if not (config.mlflow and run_id):
        return
    from mlflow import MlflowClient

    try:
        client = MlflowClient(config.mlflow.uri)
        for name, value in metrics.items():
            if math.isfinite(value):
                client.log_metric(run_id, f"test/{name}", value)
        client.set_tag(run_id, "finetune.status", status)
    except Exception as error:  # A server that is down ends no run.
        text = f"MLflow does not have the outcome of the run: {type(error).__name__}: {error}"
        emit(Note(level="warning", text=" ".join(text.split())[:300]))

"""Runs, registered models and their aliases on a server of MLflow, or in a folder."""

from __future__ import annotations

import base64
import math
import os
import re
import tempfile
from collections.abc import Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import buckets
from finetune.artifacts.pushed_version import ChampionPointer
from trainer_module.tracking.entries import Candidate, Entry, Numbers, Outcome, Picture, RunBegins, RunEnds, Served
from trainer_module.tracking.outbox import RefusedError

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

RUN_TAG, STATUS_TAG, DIGEST_TAG = "finetune.training", "finetune.status", "finetune.model_sha256"
CHALLENGER, CHAMPION = "challenger", "champion"
# MLflow tries for minutes by default.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
# A server takes so many at once, and so long values; those of later versions more.
_PARAMETERS_AT_ONCE, _LONGEST_VALUE, _LONGEST_NAME = 100, 500, 250
# What a server says of an entry that it will never take.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class Mlflow:
    """Writes runs by what the entries call them, which each run has as a tag: so each is made once."""

    def __init__(self, uri: str, experiment: str):
        """Finds or makes the experiment."""
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient, set_tracking_uri

        # Artifacts that the server keeps go where this says, whatever the client was given.
        set_tracking_uri(uri)
        self._client = MlflowClient(uri, uri)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment: str = found.experiment_id if found else self._client.create_experiment(experiment)
        # What the server calls the runs that were found, by what entries call them.
        self.ids: dict[str, str] = {}
        # Steps that the server has, by run and metric.
        self._steps: dict[tuple[str, str], set[int]] = {}

    def take(self, entry: Entry) -> None:
        """Writes an entry, unless the server has it."""
        from mlflow.exceptions import MlflowException

        try:
            self._take(entry)
        except MlflowException as error:
            if error.error_code in _REFUSALS:
                raise RefusedError(str(error)) from error
            raise

    def close(self) -> None:
        """Has nothing to close."""

    def id_of(self, run: str) -> str:
        """Returns the id that the server knows a run by.

        Raises:
            RefusedError: It has none, such as of a run that somebody has removed.
        """
        if run not in self.ids:
            found = self._find(run)
            if found is None:
                raise RefusedError(f"there is no run with the tag {RUN_TAG} {run}")
            self.ids[run] = found.info.run_id
        return self.ids[run]

    @singledispatchmethod
    def _take(self, entry: Any) -> None:
        raise AssertionError(f"no entry: {entry}")

    @_take.register
    def _(self, entry: RunBegins) -> None:
        from mlflow.entities import Param
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        run = self._find(entry.run)
        if run is None:
            tags = {RUN_TAG: entry.run}
            if entry.parent:
                tags[MLFLOW_PARENT_RUN_ID] = self.id_of(entry.parent)
            run = self._client.create_run(self._experiment, run_name=entry.title, tags=tags)
        elif run.info.status == "FAILED":
            self._client.update_run(run.info.run_id, status="RUNNING")
        self.ids[entry.run] = run.info.run_id
        given = {_name(name): value for name, value in entry.parameters.items()}
        items = [Param(name, _short(value)) for name, value in given.items() if name not in run.data.params]
        for start in range(0, len(items), _PARAMETERS_AT_ONCE):
            self._client.log_batch(run.info.run_id, params=items[start : start + _PARAMETERS_AT_ONCE])

    @_take.register
    def _(self, entry: Numbers) -> None:
        self._log(entry.run, entry.values, entry.step, entry.at)

    @_take.register
    def _(self, entry: Picture) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{_name(entry.name).replace('/', '_')}.png")
            file.write_bytes(base64.b64decode(entry.png))
            self._client.log_artifact(self.id_of(entry.run), str(file), "pictures")

    @_take.register
    def _(self, entry: RunEnds) -> None:
        from mlflow.entities import RunStatus

        status = RunStatus.FINISHED if entry.succeeded else RunStatus.FAILED
        # The client's own `set_terminated` writes links into the terminal of ours.
        store = self._client._tracking_client.store
        store.update_run_info(self.id_of(entry.run), status, int(1000 * entry.at), None)

    @_take.register
    def _(self, entry: Outcome) -> None:
        run_id = self.id_of(entry.run)
        finite = {f"test/{name}": value for name, value in entry.metrics.items() if math.isfinite(value)}
        self._log(entry.run, finite, 0, entry.at)
        for file in entry.files:
            if Path(file).is_file():
                self._client.log_artifact(run_id, file)
        for name, text in entry.texts.items():
            self._client.log_text(run_id, text, name)
        self._client.set_tag(run_id, STATUS_TAG, entry.status)

    @_take.register
    def _(self, entry: Candidate) -> None:
        run_id = self.id_of(entry.run)
        version = self._version(entry.model, entry.digest)
        if version is None:
            folder = buckets.folder(entry.folder)
            if not folder.is_dir():
                raise RefusedError(f"the model is gone from {folder}")
            if isinstance(folder, Path):
                self._client.log_artifacts(run_id, str(folder), "model")
            source = f"{self._client.get_run(run_id).info.artifact_uri}/model"
            tags = {DIGEST_TAG: entry.digest, STATUS_TAG: entry.status}
            version = self._client.create_model_version(entry.model, source, run_id, tags)
        else:
            self._client.set_model_version_tag(entry.model, version.version, STATUS_TAG, entry.status)
        self._client.set_registered_model_alias(entry.model, CHALLENGER, version.version)

    @_take.register
    def _(self, entry: Served) -> None:
        pointer = ChampionPointer.find(entry.versions)
        if pointer is None or not self._client.search_registered_models(f"name = '{entry.model}'"):
            return
        version = self._version(entry.model, pointer.model_sha256)
        if version is None:
            # What is served was never registered here: no other version is the champion.
            self._client.delete_registered_model_alias(entry.model, CHAMPION)
            return
        self._client.set_registered_model_alias(entry.model, CHAMPION, version.version)
        self._client.set_model_version_tag(entry.model, version.version, STATUS_TAG, "pushed")
        if version.run_id:
            self._client.set_tag(version.run_id, STATUS_TAG, "pushed")

    def _find(self, run: str) -> Run | None:
        found = self._client.search_runs([self._experiment], f"tags.`{RUN_TAG}` = '{run}'", max_results=1)
        return found[0] if found else None

    def _log(self, run: str, values: Mapping[str, float], step: int, at: float) -> None:
        from mlflow.entities import Metric

        run_id, moment = self.id_of(run), int(1000 * at)
        named = {_name(name): value for name, value in values.items()}
        there = {name: self._steps_of(run_id, name) for name in named}
        new = [Metric(name, value, moment, step) for name, value in named.items() if step not in there[name]]
        if new:
            self._client.log_batch(run_id, new)
        for steps in there.values():
            steps.add(step)

    def _steps_of(self, run_id: str, name: str) -> set[int]:
        if (run_id, name) not in self._steps:
            history = self._client.get_metric_history(run_id, name)
            self._steps[run_id, name] = {metric.step for metric in history}
        return self._steps[run_id, name]

    def _version(self, model: str, digest: str) -> ModelVersion | None:
        """Returns the version with a model of this digest; the registered model is made where it is missing."""
        if not self._client.search_registered_models(f"name = '{model}'"):
            self._client.create_registered_model(model)
        found = self._client.search_model_versions(f"name = '{model}'")
        return next((version for version in found if version.tags.get(DIGEST_TAG) == digest), None)


def _name(text: str) -> str:
    """Returns a name that MLflow takes: letters, digits and a few signs."""
    return re.sub(r"[^\w./ -]", "_", text)[:_LONGEST_NAME]


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 3]}..."

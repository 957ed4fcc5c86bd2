"""The TFX component around the gate, with the blessing of InfraValidator, which needs Docker."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.serving_gate.gate import Trial, try_to_serve, verdict
from components.serving_gate.process import AloneServer
from components.serving_gate.server import Server
from components.serving_gate.tasks import TASKS
from components.serving_gate.tensorflow_serving import TensorFlowServing
from components.serving_gate.timing import budgets
from components.split_files import split_files
from finetune.config.evaluation import GateConfig
from finetune.config.serving import ServingConfig
from finetune.events import Note, emit
from trainer_module.recipe import VAL_PREDICTIONS_FILE
from transforms import features

DIGEST_PROPERTY = "model_sha256"
# Requests that are timed, and examples whose answers are compared with the Trainer's.
TEST_REQUESTS, PARITY_REQUESTS = 64, 256
# The serving process holds all requests in memory; large pictures must not become its peak.
REQUEST_BYTES = 64 * 1024**2


class ServingFindingsFolder(types.Artifact):
    """Folder with `serving.json`: metrics, gates, and the time of each request."""

    TYPE_NAME = "ServingFindings"


class ServingGateSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {"settings": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "teacher": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
        "findings": component_spec.ChannelParameter(type=ServingFindingsFolder),
    }


class Executor(base_executor.BaseExecutor):
    """Serves the candidate beside champion and teacher."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `finetune.artifacts.ServingFindings` and the blessing.

        The blessing carries the digest of the model that was served, so that the Pusher pushes that and no other.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = json.loads(exec_properties["settings"])
        gates = [GateConfig.model_validate(gate) for gate in settings["gates"]]
        serving = ServingConfig.model_validate(settings["serving"])
        findings_folder = artifact_utils.get_single_uri(output_dict["findings"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        work = Path(tempfile.mkdtemp(prefix="serving-gate-"))
        try:
            requests, trained = _write_requests(
                work / "requests", input_dict["examples"], _trained(input_dict["model_run"])
            )
            trial = Trial(
                task=TASKS[settings["task"]],
                candidate=_model_path(input_dict["model"]),
                **{
                    name: _model_path(input_dict[name]) if input_dict.get(name) else None
                    for name in ("champion", "teacher")
                },
                requests=requests,
                trained=trained,
                budgets=budgets(gates, serving.measure_seconds),
            )
            findings = try_to_serve(trial, work, lambda name, model: _launch(serving, work, name, model))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        results = verdict(gates, findings)
        passed = all(result.passed for result in results)
        for result in results:
            if not result.passed:
                emit(Note(text=f"ServingGate: {result.name}: {result.reason}", level="warning"))
        findings.model_copy(update={"gates": results}).write(findings_folder)
        # The names and the property that TFX's InfraValidator uses and its Pusher reads.
        Path(blessing.uri, "INFRA_BLESSED" if passed else "INFRA_NOT_BLESSED").touch()
        blessing.set_int_custom_property("blessed", int(passed))
        blessing.set_string_custom_property(DIGEST_PROPERTY, findings.model_sha256)


class ServingGate(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = ServingGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        model_run: types.BaseChannel,
        champion: types.BaseChannel,
        teacher: types.BaseChannel | None,
        settings: dict[str, Any],
    ):
        """Args:
        examples: Raw, with the splits `val` and `test`.
        model: The candidate.
        model_run: The Trainer's, with the predictions of the network in its memory.
        champion: May be empty.
        teacher: None where it is no baseline.
        settings: `task`, its name; `gates`, those about serving; and `serving`, the section of the config.
        """
        spec = ServingGateSpec(
            examples=examples,
            model=model,
            model_run=model_run,
            champion=champion,
            teacher=teacher,
            settings=json.dumps(settings, sort_keys=True),
            blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            findings=types.Channel(type=ServingFindingsFolder),
        )
        super().__init__(spec=spec)


def _launch(serving: ServingConfig, work: Path, name: str, model: Path) -> Server:
    folder = work / f"{name}-process"
    folder.mkdir()
    requests, timeout = work / "requests", serving.timeout_seconds
    if serving.binary:
        found = shutil.which(serving.binary)
        return TensorFlowServing(Path(found or serving.binary), model, requests, folder, timeout)
    return AloneServer(model, requests, folder, timeout)


def _model_path(models: list[types.Artifact]) -> Path:
    return Path(path_utils.serving_model_path(artifact_utils.get_single_instance(models).uri))


def _trained(model_runs: list[types.Artifact]) -> dict[str, np.ndarray]:
    """Key of an example of the validation split -> float32 [classes], as the network in memory gave them."""
    path = Path(artifact_utils.get_single_uri(model_runs), VAL_PREDICTIONS_FILE)
    with np.load(path) as saved:
        return dict(zip(saved["keys"].tolist(), saved["probabilities"], strict=True))


def _write_requests(
    path: Path, examples: list[types.Artifact], trained: dict[str, np.ndarray]
) -> tuple[int, dict[int, list[float]]]:
    """Writes one base64 request a line, first those of the test split, then those to compare.

    A request is a raw example without what only training has: its label.

    Returns:
        How many are of the test split; and of the others, by number, what the Trainer predicted.
    """
    test = _spread(examples, "test", TEST_REQUESTS)
    compared = [(key, request) for key, request in _spread(examples, "val", PARITY_REQUESTS) if key in trained]
    with path.open("wb") as file:
        for _, request in [*test, *compared]:
            file.write(base64.b64encode(request) + b"\n")
    return len(test), {len(test) + number: trained[key].tolist() for number, (key, _) in enumerate(compared)}


def _spread(examples: list[types.Artifact], split: str, wanted: int) -> list[tuple[str, bytes]]:
    """(key, request) of examples that are spread evenly over a split, as many as wanted and as fit."""
    total = sum(1 for _ in _records(examples, split))
    every = max(total // wanted, 1)
    chosen: list[tuple[str, bytes]] = []
    size = 0
    for number, record in enumerate(_records(examples, split)):
        if number % every == 0 and len(chosen) < wanted:
            size += len(record)
            if chosen and size > REQUEST_BYTES:
                break
            chosen.append(_request(record))
    return chosen


def _request(record: bytes) -> tuple[str, bytes]:
    import tensorflow as tf

    example = tf.train.Example.FromString(record)
    key = example.features.feature[features.SHA256].bytes_list.value[0].decode()
    del example.features.feature[features.LABEL]
    return key, example.SerializeToString()


def _records(examples: list[types.Artifact], split: str) -> Iterator[bytes]:

    from transforms.records import read_records

    return read_records(split_files(examples, split)).as_numpy_iterator()

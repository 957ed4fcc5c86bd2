"""Runs of the pipeline as `finetune retrain` sees them, without TensorFlow: what they leave in the store and on disk.

As a program, it watches data: `python stand_in_run.py CONFIG CONFIG KILLS SEED` watches those of the first config, and
those of the second while it kills the watch so often and starts it again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from ml_metadata.proto import metadata_store_pb2

from evaluation.retraining.decision import Examined
from evaluation.retraining.news import Known
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import Config, load_config
from pipeline.retraining import retrain as retraining
from pipeline.retraining.lineage import store_of
from pipeline.retraining.listing import examples_now
from pipeline.retraining.watch import watch
from pipeline.run_ids import new_run_id
from registry.versions import push_version
from trainer_module.backbones.sources import record_of
from trainer_module.warm_start.state import StateFacts, TrainingState, preprocessing_of

IN, OUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT


class StandIn:
    """Takes the place of `run_pipeline`: every node leaves what a later decision asks for, and is cached by the data.

    Attributes:
        status: How runs end: `pushed` or `refused`; `failed` and `killed` before anything is judged, `judged` is killed
            before anything is pushed.
    """

    def __init__(self, status: str = "pushed"):
        self.status = status

    def __call__(
        self, config: Config, decision: RetrainDecision | None = None, run_id: str | None = None
    ) -> RunSummary:
        """Runs."""
        run_id = run_id or new_run_id()
        if self.status == "failed":
            return RunSummary(run_id=run_id, status="failed", decision=decision)
        store = store_of(config)
        examples = examples_now(config, Known.of())
        digest = hashlib.sha256(
            repr(sorted((one.path, one.sha256, one.labels) for one in examples)).encode()
        ).hexdigest()
        folder = config.output_path / "artifacts" / digest[:12]
        listed = [replace(one, split="train") for one in examples]
        ExampleList.of(listed).write(folder / "examples")
        model = folder / "model"
        model.mkdir(parents=True, exist_ok=True)
        (model / "weights").write_text(digest)
        _leave_state(config, folder / "model_run")
        raw = self._node(store, "ExampleGen", {}, Examples=folder / "examples")
        transformed = self._node(store, "Transform", {"examples": raw}, Transformed=folder / "transformed")
        trained = self._node(store, "Trainer", {"examples": transformed}, Model=model, ModelRun=folder / "model_run")
        verdict = self._node(store, "GateKeeper", {"model": trained}, GateVerdict=folder / "verdict")
        if self.status == "judged":
            raise KeyboardInterrupt
        if self.status == "pushed":
            push_version(model, config.push_path, record=PushRecord(model_uri=str(model)))
        pusher = "components.pusher.component.AtomicPusher"
        self._node(store, pusher, {"verdict": verdict}, PushedModel=folder / "push")
        summary = RunSummary(run_id=run_id, status=self.status, decision=decision)
        summary.write(config.output_path / "runs" / run_id)
        return summary

    def _node(self, store: Any, kind: str, inputs: dict[str, Any], **leaves: Path) -> Any:
        """Leaves artifacts by their types, or finds those of an earlier run; returns the first."""
        first = str(next(iter(leaves.values())))
        if found := store.get_artifacts_by_uri(first):
            return found[0]
        work = store.put_execution_type(metadata_store_pb2.ExecutionType(name=kind))
        pairs = [(one, _event(IN, name)) for name, one in inputs.items()]
        for name, folder in leaves.items():
            type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name=name))
            artifact = metadata_store_pb2.Artifact(type_id=type_id, uri=str(folder))
            pairs.append((artifact, _event(OUT, "model_run" if name == "ModelRun" else name.lower())))
        execution = metadata_store_pb2.Execution(type_id=work, last_known_state=metadata_store_pb2.Execution.COMPLETE)
        store.put_execution(execution, pairs, [])
        return store.get_artifacts_by_uri(first)[0]


def _leave_state(config: Config, folder: Path) -> None:
    """Leaves what a training needs to go on from a model."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = StateFacts(
        classes=["a", "b"],
        backbone=BackboneOrigin(name="SmallCNN"),
        shapes=[],
        preprocessing=preprocessing_of(record_of(config.backbone)),
        units=config.training.head.units,
        moved=False,
    )
    TrainingState(facts, {}, {"head": [np.zeros(1, np.float32)]}).write(folder)


def _event(kind: int, name: str) -> metadata_store_pb2.Event:
    event = metadata_store_pb2.Event(type=kind)
    event.path.steps.add().key = name
    event.path.steps.add().index = 0
    return event


def _watch_once(path: str) -> None:
    """Watches until all that is there is decided on, in this process."""

    def work(spans: list[str]) -> None:
        retraining.retrain(load_config(path, [f"data.spans=[{', '.join(spans)}]"] if spans else []))

    watch(load_config(path, []), work, every=0.01, settle=0, once=True)


def main(undisturbed: str, killed: str, kills: int, seed: int) -> None:
    """Lets three spans arrive twice: once undisturbed, and once while the watch is killed at random moments.

    Moments are counted in calls of functions, so that it makes no difference how busy the machine is. Of each span the
    early ones come first, since a watch that was killed late has little left to be killed at. Prints how many of the
    kills met a watch at work; the others would have come when it had ended.
    """
    retraining.run_pipeline = StandIn()
    retraining.examine = lambda config, folder, found: Examined()
    met, calls = 0, 0
    for number in (1, 2, 3):
        _arrive(undisturbed, number)
        with _counting() as counted:
            _watch_once(undisturbed)
        calls = counted[0]
    moments = Random(seed).choices(range(1, calls + 1), k=kills)
    for number in (1, 2, 3):
        _arrive(killed, number)
        for moment in sorted(moments[number - 1 :: 3]):
            child = os.fork()
            if not child:
                with _counting(moment):
                    _watch_once(killed)
                os._exit(0)
            met += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    _watch_once(killed)
    print(met)


@contextmanager
def _counting(last: int | None = None) -> Iterator[list[int]]:
    """Counts calls and returns of functions, and kills the process at the last one that it may live to see."""
    counted = [0]

    def count(*_: object) -> None:
        counted[0] += 1
        if counted[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(None)


def _arrive(config: str, number: int) -> None:
    """A span comes whole: by one rename."""
    store = Path(config).parent / "store"
    made = store / f".{number}"
    for label in "ab":
        (made / label).mkdir(parents=True)
        for place in range(5):
            (made / label / f"{place}.png").write_bytes(f"{number} {label} {place}".encode())
    made.rename(store / str(number))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

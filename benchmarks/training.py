"""One run of the product's Trainer on Transform's output, in a process of its own, measured from outside.

Imports are made once, in a fork server; each run is a fork of it, with a TensorFlow that nothing has run in yet.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

from benchmarks.flowers import mobilenet_v2, pictures, subset, transformed

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Data:
    """What is trained and tested on."""

    graph: str  # Folder of the Transform graph.
    files: Mapping[str, list[str]]  # TFRecord files of `train` and `val`.
    test: Sequence[tuple[bytes, str]]  # What is served, be it a serialized raw example, and its label.


def fork_server() -> ForkServerContext:
    """Returns what starts processes that have imported all that a Trainer needs, and nothing that its memory lacks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer_module.recipe"])
    return context


def apart(work: Callable[..., _Result], *arguments: Any) -> _Result:
    """Runs a function of a module in a process of its own, and returns its result."""
    with ProcessPoolExecutor(1, mp_context=fork_server()) as pool:
        return pool.submit(work, *arguments).result()


def run_trainer(
    folder: Path,
    training: Mapping[str, Any],
    train: int = 600,
    val: int = 150,
    held_out: bool = False,
    augmentation: Mapping[str, Any] | None = None,
    files: Mapping[str, list[str]] | None = None,
    backbone: Mapping[str, Any] | None = None,
    data: Data | None = None,
) -> dict[str, Any]:
    """Trains in a process of its own.

    Args:
        folder: Of the benchmark's data; `folder/frozen_features` holds what the frozen layers gave.
        training: Section of the config.
        train: Pictures of train/ to train on.
        val: How many of them are the validation split.
        held_out: Whether these are not trained on.
        augmentation: Section of the config.
        files: TFRecord files of `train` and `val` in place of the flowers.
        backbone: Section of the config, of a network for pictures of SIZE; default: MobileNetV2 0.35.
        data: In place of the flowers, and of what says how many of them.

    Returns:
        `seconds` and `processor_seconds` of run_fn, from reading Transform's output to the exported model; `accuracy`
        and `loss`, the log-loss, of the exported model on the 150 pictures of val/, or on the test examples of `data`;
        `peak_mb` of the process; `disk_mb` of frozen features; `phases`, `search`, `averaging` and
        `calibration`, as in the Trainer's history.
    """
    if data is None:
        pairs = tuple((path.read_bytes(), path.parent.name) for path in pictures("val"))
        files = files or subset(folder, train, val, held_out)
        data = Data(transformed(folder)["graph"], dict(files), pairs)
    context = fork_server()
    receiver, sender = context.Pipe(duplex=False)
    arguments = (str(folder), dict(training), data, dict(augmentation or {}), dict(backbone or mobilenet_v2()), sender)
    process = context.Process(target=_train, args=arguments)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the Trainer ended with {process.exitcode}; see above") from None
    finally:
        process.join()


def _train(folder: str, training: dict, data: Data, augmentation: dict, backbone: dict, sender: Any) -> None:
    import tensorflow as tf
    from tfx.components.trainer.fn_args_utils import FnArgs

    from finetune.artifacts.training_history import TrainingHistory
    from finetune.config import AugmentationConfig, BackboneConfig, DistributionConfig, TrackingConfig, TrainingConfig
    from trainer_module.recipe import run_fn

    work = Path(folder) / "run" / str(os.getpid())
    sections = {
        "training": TrainingConfig.model_validate(training),
        "backbone": BackboneConfig.model_validate(backbone),
        "augmentation": AugmentationConfig.model_validate(augmentation),
        "distribution": DistributionConfig(),
        "tracking": TrackingConfig(),
    }
    kept = Path(folder) / "frozen_features"
    arguments = FnArgs(
        train_files=data.files["train"],
        eval_files=data.files["val"],
        transform_graph_path=data.graph,
        serving_model_dir=str(work / "model"),
        model_run_dir=str(work / "run"),
        custom_config={
            **{name: json.loads(section.model_dump_json()) for name, section in sections.items()},
            "task": "single_label",
            "evaluation": {},
            "component": "Trainer",
            "code": "benchmark",
            "checkpoint_dir": str(work / "checkpoints"),
            "frozen_features_dir": str(kept),
            "tracking_dir": str(work / "tensorboard"),
            "mlflow_dir": str(work / "mlflow"),
        },
    )
    start, processor = time.monotonic(), time.process_time()
    run_fn(arguments)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    served = tf.saved_model.load(str(work / "model")).signatures["serving_default"]
    right, losses = 0, []
    for first in range(0, len(data.test), 50):
        examples, wanted = zip(*data.test[first : first + 50], strict=True)
        found = {name: value.numpy() for name, value in served(examples=tf.constant(examples)).items()}
        classes = [name.decode() for name in found["classes"][0]]
        for label, row, name in zip(found["label"], found["probabilities"], wanted, strict=True):
            right += label.decode() == name
            losses.append(-math.log(max(row[classes.index(name)], 1e-7)))
    history = TrainingHistory.read(work / "run")
    shutil.rmtree(work)
    disk = sum(file.stat().st_size for file in kept.glob("*/*")) if kept.is_dir() else 0
    sender.send(
        {
            "seconds": round(seconds, 2),
            "processor_seconds": round(processor, 1),
            "accuracy": right / len(data.test),
            "loss": mean(losses),
            "peak_mb": round(peak),
            "disk_mb": round(disk / 1e6, 1),
            "phases": [phase.plain() for phase in history.phases],
            "search": history.search and history.search.plain(),
            "averaging": history.averaging and history.averaging.plain(),
            "calibration": history.calibration and history.calibration.plain(),
        }
    )
    sender.close()

"""What `finetune plan` says about frozen features: the same decision as the Trainer's, from recorded graphs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from components.example_gen.coco import is_coco
from components.example_gen.tasks import TASKS as INGEST_TASKS
from finetune.config import Config, DataConfig, PhaseConfig, TrainingConfig
from finetune.errors import BackboneError, FinetuneError
from pipeline.data_roots import roots_of
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.frozen_features.cuts import Cut
from trainer_module.frozen_features.plan import RATES, Decision
from trainer_module.frozen_features.planner import Graph, Planner
from trainer_module.frozen_features.recorded import Recorded, size_in_words
from trainer_module.peft.targets import chosen, with_updates

_Thing = TypeVar("_Thing")
# A plan is printed within two seconds, however many pictures there are.
SECONDS_TO_COUNT = 0.5
# The splits of a data set that has none (`data.splits`).
TRAIN_SHARE, VAL_SHARE = 0.7, 0.15
ASSUMED = 1000


def frozen_features_lines(config: Config) -> list[str]:
    """A line for each phase: whether the frozen layers run once, where it is cut, and what is kept."""
    try:
        return _lines(config)
    except BackboneError as error:
        return [str(error)]


def _lines(config: Config) -> list[str]:
    training, size = config.training, record_of(config.backbone).image_size
    if training.frozen_features.cache == "off":
        return ["off, as training.frozen_features says"]
    task = INGEST_TASKS[config.task]
    if task.has_boxes or task.has_masks:
        return ["off: the head reads several maps of the backbone, and none is kept"]
    found = source_of(config.backbone).graph(config.backbone)
    counted = count_examples(config.data)
    planner = _planner(config, training, counted)
    if found is None or planner is None:
        return ["decided by the Trainer, when it has built the network; no graph of this backbone is recorded"]
    near = "" if found.image_size == size else "about "
    sizes = f"{planner.train:,} + {planner.val:,}"
    pictures = f"{sizes} pictures" if counted else f"{sizes} of {ASSUMED:,} pictures, say"

    def line(phase: PhaseConfig, cut: Cut | None, decision: Decision) -> str:
        if cut is None or not decision.kept_bytes:
            return f"{phase.name}: {decision.reason}"
        places = decision.train if decision.train == decision.val else f"train {decision.train}, val {decision.val}"
        each = size_in_words(cut.row_bytes(planner.item_bytes))
        return (
            f"{phase.name}: {decision.reason}; {near}{each} a picture, {size_in_words(decision.kept_bytes)} for "
            f"{pictures}, read from: {places}"
        )

    return [line(*each) for each in zip(training.phases, planner.cuts, planner.decisions, strict=True)]


def planner_of(config: Config, training: TrainingConfig, counted: tuple[int, int] | None) -> Planner | None:
    """The planner of a training, with examples counted or assumed.

    None where no graph of the backbone is recorded, or the backbone does not allow the phases.
    """
    try:
        planner = _planner(config, training, counted)
        return planner if planner and planner.cuts is not None else None
    except BackboneError:
        return None


def _planner(config: Config, training: TrainingConfig, counted: tuple[int, int] | None) -> Planner | None:
    found = source_of(config.backbone).graph(config.backbone)
    if found is None:
        return None
    train, val = counted or (round(ASSUMED * TRAIN_SHARE), round(ASSUMED * VAL_SHARE))
    if training.peft and training.peft.method == "lora":
        updated = chosen(found.kernels, training.peft, found.parameters)
        found = replace(found, layers=tuple(with_updates(found.layers, updated)))
    graph = _graph(found.at(record_of(config.backbone).image_size), training)
    return Planner(training, config.augmentation, graph, max(1, train), max(1, val), RATES["cpu"])


def _graph(found: Recorded, training: TrainingConfig) -> Graph:
    """Returns the network as the Trainer would build it around a recorded backbone."""
    nodes = found.with_head()
    if training.mixed_precision != "off":
        nodes = [*(replace(node, item_bytes=2) for node in nodes[:-1]), nodes[-1]]
    if training.head.spatial_dropout or any(phase.regularizers.spatial_dropout for phase in training.phases):
        nodes[-2] = replace(nodes[-2], follows_mode=True)
    return Graph(nodes, found.layers, None, training.batch_norm != "train")


def count_examples(data: DataConfig) -> tuple[int, int] | None:
    """Counts files as a guess at the examples in train and val; None when there is nothing, or no time, to count."""
    deadline = time.monotonic() + SECONDS_TO_COUNT
    try:
        counted = [_count(data, Path(root), deadline) for root in roots_of(data)]
    except (OSError, TimeoutError, FinetuneError):
        return None
    train, val = (sum(counts) for counts in zip(*counted, strict=True))
    return (train, val) if train else None


def _count(data: DataConfig, root: Path, deadline: float) -> tuple[int, int]:
    if data.manifest:
        manifest = root / data.manifest
        if is_coco(data.manifest):
            examples = _files(root, deadline)  # Pictures, and the JSON file.
        elif manifest.is_dir():
            examples = _files(manifest, deadline)
        else:
            with manifest.open("rb") as file:
                examples = sum(1 for _ in _until(file, deadline)) - 1
        return round(examples * TRAIN_SHARE), round(examples * VAL_SHARE)
    if not (root / "train").is_dir():
        files = _files(root, deadline)
        return round(files * TRAIN_SHARE), round(files * VAL_SHARE)
    wanted = data.splits or {name: name if (root / name).is_dir() else VAL_SHARE for name in ("val", "test")}
    train = _files(root / str(wanted.get("train", "train")), deadline)
    cut = {name: share for name, share in wanted.items() if isinstance(share, float)}
    val = round(train * cut["val"]) if "val" in cut else _files(root / str(wanted["val"]), deadline)
    return round(train * (1 - sum(cut.values()))), val


def _files(folder: Path, deadline: float) -> int:
    return sum(len(files) for _, _, files in _until(os.walk(folder, followlinks=True), deadline))


def _until(things: Iterator[_Thing], deadline: float) -> Iterator[_Thing]:
    for thing in things:
        if time.monotonic() > deadline:
            raise TimeoutError
        yield thing

"""What `finetune plan` says about the frozen trunk: the same decision as the Trainer's, from recorded graphs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from finetune.config import Config, DataConfig
from finetune.errors import BackboneError
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.frozen_features.cuts import constancy, deepest_cut
from trainer_module.frozen_features.plan import RATES, Budget, PhaseNeed, decide
from trainer_module.frozen_features.recorded import size_in_words
from trainer_module.phases.freezing import trainable_layers
from trainer_module.phases.schedules import total_steps

# A plan is printed within two seconds, however many pictures there are.
SECONDS_TO_COUNT = 0.5
# The splits of a data set that has none (`data.splits`).
TRAIN_SHARE, VAL_SHARE = 0.7, 0.15
ASSUMED = 1000


def trunk_lines(config: Config) -> list[str]:
    """A line for each phase: whether the frozen trunk runs once, where it is cut, and what is kept."""
    try:
        return _lines(config)
    except BackboneError as error:
        return [str(error)]


def _lines(config: Config) -> list[str]:
    training, size = config.training, record_of(config.backbone).image_size
    if training.cache_trunk == "off":
        return ["off, as training.cache_trunk says"]
    found = source_of(config.backbone).graph(config.backbone)
    if found is None:
        return ["decided by the Trainer, when it has built the network; no graph of this backbone is recorded"]
    near = "" if found.image_size == size else "about "
    graph = found.at(size)
    if training.mixed_precision != "off":
        graph = replace(graph, nodes=tuple(replace(node, item_bytes=2) for node in graph.nodes))
    counted = count_examples(config.data)
    train, val = counted or (round(ASSUMED * TRAIN_SHARE), round(ASSUMED * VAL_SHARE))
    train, val = max(1, train), max(1, val)
    nodes = graph.with_head()
    if training.head.spatial_dropout or any(phase.regularizers.spatial_dropout for phase in training.phases):
        nodes[-2] = replace(nodes[-2], follows_mode=True)
    steps_per_epoch = -(-train // training.batch_size)
    needs = []
    for phase in training.phases:
        trains = trainable_layers(graph.layers, phase.unfreeze, training.batch_norm)
        names = {layer.name for layer, trainable in zip(graph.layers, trains, strict=True) if trainable}
        cut = deepest_cut(nodes, nodes[-1].name, constancy(names, training.batch_norm != "train"))
        changes = phase.augmentation or config.augmentation
        views = (0 if changes.views == "fresh" else changes.views) if changes.is_active else 1
        epochs = total_steps(phase, train, training.batch_size) / steps_per_epoch
        needs.append(PhaseNeed(phase.name, cut, epochs, views))
    cache = training.trunk_cache
    item_bytes = {"float32": 4, "float16": 2}[cache.dtype]
    budget = Budget(item_bytes, training.memory_mb * 2**20, cache.disk_gb * 2**30)
    decisions = decide(training.cache_trunk, needs, train, val, budget, RATES["cpu"])
    pictures = f"{train:,} + {val:,} pictures" if counted else f"{train:,} + {val:,} of {ASSUMED:,} pictures, say"
    lines = []
    for need, decision in zip(needs, decisions, strict=True):
        kept = (decision.train_bytes if decision.train != "off" else 0) + (
            decision.val_bytes if decision.val != "off" else 0
        )
        places = decision.train if decision.train == decision.val else f"train {decision.train}, val {decision.val}"
        if kept:
            each = size_in_words(need.cut.row_bytes(item_bytes))
            size_text = f"; {near}{each} a picture, {size_in_words(kept)} for {pictures}, read from: {places}"
        else:
            size_text = ""
        lines.append(f"{need.name}: {decision.reason}{size_text}")
    return lines


def count_examples(data: DataConfig) -> tuple[int, int] | None:
    """Counts files as a guess at the examples in train and val; None when there is nothing, or no time, to count."""
    root, deadline = Path(data.root), time.monotonic() + SECONDS_TO_COUNT
    try:
        if data.manifest:
            with (root / data.manifest).open("rb") as file:
                lines = sum(1 for _ in _until(file, deadline)) - 1
            return round(lines * TRAIN_SHARE), round(lines * VAL_SHARE)
        if not (root / "train").is_dir():
            files = _files(root, deadline)
            return (round(files * TRAIN_SHARE), round(files * VAL_SHARE)) if files else None
        wanted = data.splits or {name: name if (root / name).is_dir() else VAL_SHARE for name in ("val", "test")}
        train = _files(root / str(wanted.get("train", "train")), deadline)
        cut = {name: share for name, share in wanted.items() if isinstance(share, float)}
        val = round(train * cut["val"]) if "val" in cut else _files(root / str(wanted["val"]), deadline)
        return (round(train * (1 - sum(cut.values()))), val) if train else None
    except (OSError, TimeoutError):
        return None


def _files(folder: Path, deadline: float) -> int:
    return sum(len(files) for _, _, files in _until(os.walk(folder, followlinks=True), deadline))


def _until(things: Iterator, deadline: float) -> Iterator:
    for thing in things:
        if time.monotonic() > deadline:
            raise TimeoutError
        yield thing

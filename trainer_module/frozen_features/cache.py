"""What a phase trains on: the pictures and the whole network, or what the frozen trunk gave and the rest of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, TrainingConfig
from finetune.errors import RunError
from finetune.events import Note, Progress, emit
from trainer_module.examples.input_data import (
    Kept,
    Split,
    evaluation_batches,
    evaluation_rows,
    labels,
    numbered_inputs,
    training_batches,
    training_rows,
)
from trainer_module.frozen_features.cuts import Cut, constancy, deepest_cut
from trainer_module.frozen_features.fill import Gaps, Trunk, any_rows, fill, trunk_step
from trainer_module.frozen_features.network import Network
from trainer_module.frozen_features.plan import RATES, Budget, Decision, PhaseNeed, decide
from trainer_module.frozen_features.store import FILL_BATCH, HEADER_BYTES, Shards, make_room
from trainer_module.phases.freezing import layers_of, trainable_layers
from trainer_module.phases.schedules import total_steps

MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Feed:
    """What a phase trains and validates on.

    Attributes:
        train_model: From the inputs in `train` to probabilities.
        train: Endless batches (inputs, int64 [batch] labels).
        val_model: From the inputs in `val` to probabilities.
        val: One pass.
        row: For the phase's row of the summary: `cached_trunk`, and `trunk` with what was decided and why.
    """

    train_model: keras.Model
    train: tf.data.Dataset
    val_model: keras.Model
    val: tf.data.Dataset
    row: dict[str, Any]


class TrunkCache:
    """Decides for each phase what it trains on, and keeps what the frozen trunk gives in a folder.

    Nothing in it depends on the seed, but for views, so that runs with other seeds, other heads and other rates share
    what is kept.
    """

    def __init__(
        self,
        folder: str,
        model: keras.Model,
        backbone: keras.Model,
        training: TrainingConfig,
        augmentation_config: AugmentationConfig,
        train: Split,
        val: Split,
        component: str,
        code: str = "",
    ):
        """Prepares; nothing is computed yet.

        Args:
            folder: Of all caches of a pipeline.
            model: The whole network.
            backbone: The part of it that freezing is about.
            training: Phases, cache and budget.
            augmentation_config: Of training pictures, in phases that have none of their own.
            train: Training examples.
            val: Validation examples.
            component: Id of the pipeline node, for messages.
            code: Digest of the code that makes a network and its inputs.
        """
        self._folder = Path(folder)
        self._model = model
        self._backbone = backbone
        self._training = training
        self._augmentations = [phase.augmentation or augmentation_config for phase in training.phases]
        self._splits = {"train": train, "val": val}
        self._component = component
        self._code = code
        self._network = Network(model, backbone)
        self._item_bytes = tf.as_dtype(training.trunk_cache.dtype).size
        self._trained = [self._trained_layers(index) for index in range(len(training.phases))]
        self._cuts = [self._cut(trained) for trained in self._trained]
        self._at_once = training.batch_size
        self._steps: dict[tuple[str, ...], Trunk] = {}
        self._broken = ""

    def feed(self, index: int, first_epoch: int, first_step: int, at_once: int | None = None) -> Feed:
        """Returns what a phase trains on, after one pass over the pictures where something has to be filled.

        Args:
            index: Of the phase.
            first_epoch: Of all epochs of the run, from 0, to begin with.
            first_step: Of that epoch to begin with.
            at_once: Examples for which memory suffices; None takes `training.batch_size`.
        """
        self._at_once = at_once or self._training.batch_size
        decision = self._decisions()[index]
        kept: dict[str, Kept] = {}
        if decision.train != "off" or decision.val != "off":
            try:
                kept = self._kept(index, decision)
            except OSError as error:
                self._broken = f"the cache in {self._folder} cannot be written or read: {error}"
                if self._training.cache_trunk == "on":
                    raise RunError(
                        f"training.cache_trunk: got on, but {self._broken}. Make room there, choose another "
                        "`output_dir`, or set training.cache_trunk=auto to train without."
                    ) from error
                self._say(f"{self._broken}; training goes on without it", level="warning")
                decision = self._decisions()[index]
        return self._feed(index, decision, kept, first_epoch, first_step)

    def _feed(
        self,
        index: int,
        decision: Decision,
        kept: dict[str, Kept],
        first_epoch: int,
        first_step: int,
    ) -> Feed:
        training, train, val = self._training, self._splits["train"], self._splits["val"]
        tail = self._network.tail(self._cuts[index]) if kept else None
        first = {"first_epoch": first_epoch, "first_step": first_step}
        if "train" in kept:
            train_batches = training_rows(
                train, kept["train"], training.batch_size, training.seed, self._augmentations[index], **first
            )
        else:
            train_batches = training_batches(
                train, training.batch_size, training.seed, self._augmentations[index], **first
            )
        if "val" in kept:
            val_batches = evaluation_rows(kept["val"], self._at_once)
        else:
            val_batches = evaluation_batches(val, self._at_once)
        return Feed(
            tail if "train" in kept else self._model,
            train_batches,
            tail if "val" in kept else self._model,
            val_batches,
            {"cached_trunk": "train" in kept, "trunk": self._row(index, decision)},
        )

    def _row(self, index: int, decision: Decision) -> dict[str, Any]:
        cut = self._cuts[index]
        config = self._augmentations[index]
        return {
            "cut": cut.node.layer if cut else None,
            "views": config.views if config.is_active else None,
            "train": decision.train,
            "val": decision.val,
            "bytes": (decision.train_bytes if decision.train != "off" else 0)
            + (decision.val_bytes if decision.val != "off" else 0),
            "reason": decision.reason,
        }

    def _decisions(self) -> list[Decision]:
        training, train = self._training, self._splits["train"]
        mode = "off" if self._broken else training.cache_trunk
        steps_per_epoch = train.steps(training.batch_size)
        needs = [
            PhaseNeed(
                phase.name,
                cut,
                total_steps(phase, train.examples, training.batch_size) / steps_per_epoch,
                views=_copies(config),
            )
            for phase, cut, config in zip(training.phases, self._cuts, self._augmentations, strict=True)
        ]
        budget = Budget(self._item_bytes, training.memory_mb * MIB, training.trunk_cache.disk_gb * GIB)
        rates = RATES["gpu" if tf.config.list_logical_devices("GPU") else "cpu"]
        decisions = decide(mode, needs, train.examples, self._splits["val"].examples, budget, rates)
        return [replace(decision, reason=self._broken) for decision in decisions] if self._broken else decisions

    def _kept(self, index: int, decision: Decision) -> dict[str, Kept]:
        """Returns what is kept for a phase by split, filled where it has gaps."""
        kept = {}
        places = {"train": decision.train, "val": decision.val}
        for name, place in places.items():
            if place != "off":
                shards = self._whole(name, index)
                kept[name] = self._read(name, shards, self._cuts[index], place == "memory")
        return kept

    def _whole(self, name: str, index: int) -> Shards:
        """Fills what has gaps of the phase's cut, and in the same pass those of later phases."""
        wanted: dict[str, tuple[Cut, Shards]] = {}
        for later in self._fillable(index, name):
            cut = self._cuts[later]
            wanted.setdefault(cut.node.name, (cut, self._shards(name, cut, later)))
        checked = {}
        for node_name, (_, shards) in wanted.items():
            missing, damaged = shards.load()
            if damaged:
                self._say(
                    f"{len(damaged)} of {shards.count} files of the trunk cache in {shards.folder} are damaged and are "
                    "computed anew",
                    level="warning",
                )
            checked[node_name] = frozenset(missing + damaged)
        gaps = {key: Gaps(wanted[key][1], numbers) for key, numbers in checked.items() if numbers}
        if gaps:
            needed = sum(int(gap.rows().sum()) * gap.shards.row_bytes for gap in gaps.values())
            make_room(
                self._folder,
                needed,
                self._training.trunk_cache.disk_gb * GIB,
                {shards.folder for _, shards in wanted.values()},
            )
            self._fill(name, [wanted[key][0] for key in gaps], list(gaps.values()), index)
        return wanted[self._cuts[index].node.name][1]

    def _fill(self, name: str, cuts: Sequence[Cut], gaps: Sequence[Gaps], index: int) -> None:
        start = time.monotonic()
        rows = any_rows(gaps)
        total = int(rows.sum())
        layers = ", ".join(dict.fromkeys(cut.node.layer for cut in cuts))
        told = 0.0

        def tell(done: int) -> None:
            nonlocal told
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                emit(Progress(component=self._component, done=done, total=total, unit="examples through the trunk"))

        config = self._augmentations[index] if name == "train" else None
        batches = numbered_inputs(self._splits[name], rows, self._fill_batch, config, self._training.seed)
        names = tuple(cut.node.name for cut in cuts)
        if names not in self._steps:
            dtypes = [self._stored(cut) for cut in cuts]
            self._steps[names] = trunk_step(self._network.trunk(cuts), batches.element_spec[1], dtypes)
        fill(self._steps[names], batches, gaps, tell)
        size = sum(gap.rows().sum() * gap.shards.row_bytes for gap in gaps)
        self._say(
            f"the frozen trunk ran once over {total:,} examples of {name} in {time.monotonic() - start:.1f} s; "
            f"what it gave at {layers} is kept ({size / 1e6:,.1f} MB)"
        )

    def _read(self, name: str, shards: Shards, cut: Cut, in_memory: bool) -> Kept:
        stored = self._stored(cut)
        all_labels = labels(self._splits[name])
        if not in_memory:
            shape, dtype = cut.node.shape, self._network.dtype(cut)
            return Kept(
                all_labels,
                shape,
                stored,
                dtype,
                files=shards.files,
                rows_per_file=shards.rows_per_shard,
                header_bytes=HEADER_BYTES,
            )
        rows = _aligned(shards.rows, shards.row_bytes)
        missing, damaged = shards.load(rows)
        if missing or damaged:
            raise OSError(f"{shards.folder}: files vanished or broke just after they were checked")
        # DLPack of NumPy does not know bfloat16.
        bits = np.uint16 if stored == tf.bfloat16 else stored.as_numpy_dtype
        values = rows.view(bits).reshape(shards.rows, *cut.node.shape)
        with tf.device("/cpu:0"):
            # Shares the memory: a copy would need twice the budget.
            held = tf.bitcast(tf.experimental.dlpack.from_dlpack(values.__dlpack__()), stored)
        return Kept(all_labels, cut.node.shape, stored, self._network.dtype(cut), held=held)

    def _shards(self, name: str, cut: Cut, index: int) -> Shards:
        split = self._splits[name]
        facts = {
            "format": 1,
            "split": {"digest": split.digest, "order": split.order, "examples": split.examples},
            "views": self._views(name, index),
            "trunk": self._network.digest(cut),
            "cut": cut.node.layer,
            "shape": list(cut.node.shape),
            "dtype": self._stored(cut).name,
            "batch": self._fill_batch,
            "code": self._code,
            "tensorflow": tf.__version__,
        }
        copies = _copies(self._augmentations[index]) if name == "train" else 1
        return Shards(self._folder, facts, split.examples * copies, cut.row_bytes(self._item_bytes))

    def _views(self, name: str, index: int) -> dict[str, Any] | None:
        """What copies of examples depend on; None for the examples themselves."""
        config = self._augmentations[index]
        if name == "val" or not config.is_active:
            return None
        return {**config.model_dump(), "seed": self._training.seed}

    @property
    def _fill_batch(self) -> int:
        """A power of two, so that no batch crosses the end of a shard."""
        return 2 ** (min(FILL_BATCH, self._at_once).bit_length() - 1)

    def _stored(self, cut: Cut) -> tf.DType:
        """The configured type, or that of the output where it is smaller."""
        dtype = self._network.dtype(cut)
        return dtype if dtype.size <= self._item_bytes else tf.as_dtype(self._training.trunk_cache.dtype)

    def _fillable(self, index: int, name: str) -> list[int]:
        """The phase, and later ones that read the same rows and below whose cuts nothing trains until they begin."""
        decisions, found, trained = self._decisions(), [], set()
        for later in range(index, len(self._cuts)):
            cut, decision = self._cuts[later], decisions[later]
            place = decision.train if name == "train" else decision.val
            same = self._views(name, later) == self._views(name, index)
            if place != "off" and same and not trained & {node.layer for node in cut.below if node.in_backbone}:
                found.append(later)
            trained |= self._trained[later]
        return found

    def _trained_layers(self, index: int) -> set[str]:
        described = layers_of(self._backbone)
        trains = trainable_layers(described, self._training.phases[index].unfreeze, self._training.batch_norm)
        names = {
            layer.name for layer, trainable in zip(described, trains, strict=True) if trainable and layer.variables
        }
        # A backbone that cannot be looked into trains as a whole.
        return names | {self._backbone.name} if names else names

    def _cut(self, trained: set[str]) -> Cut | None:
        network = self._network
        return deepest_cut(network.nodes, network.output, constancy(trained, network.backbone_in_inference_mode))

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        emit(Note(text=f"{self._component}: {text}", level=level))


def _copies(config: AugmentationConfig) -> int:
    """How many rows are kept of each training example; 0 where every epoch makes new ones."""
    if not config.is_active:
        return 1
    return 0 if config.views == "fresh" else config.views


def _aligned(rows: int, row_bytes: int) -> np.ndarray:
    """uint8 [rows, row_bytes] at an address that TensorFlow can use as it is."""
    size = rows * row_bytes
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].reshape(rows, row_bytes)

"""Frozen features of a training: what the planner decides is filled, kept in the store, and fed to the phases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, TrainingConfig
from finetune.errors import RunError
from finetune.events import Note, Progress, emit
from trainer_module.examples.input_data import Split, evaluation_batches, labels, numbered_inputs, training_batches
from trainer_module.frozen_features.cuts import Cut
from trainer_module.frozen_features.feed import Feed, Feeds, Kept, evaluation_rows, training_rows
from trainer_module.frozen_features.network import Network
from trainer_module.frozen_features.plan import RATES, Decision
from trainer_module.frozen_features.planner import Planner
from trainer_module.frozen_features.store import FILL_BATCH, Gaps, Shards, Store
from transforms.inputs import NetworkInput

SECONDS_BETWEEN_EVENTS = 0.5
FrozenPart = Callable[[NetworkInput], list[tf.Tensor]]


class FrozenFeatures:
    """Gives each phase its feeds.

    Nothing that is kept depends on the seed, but for views, so that runs with other seeds, other heads and other rates
    share it.
    """

    def __init__(
        self,
        folder: str,
        model: keras.Model,
        backbone: keras.Model,
        training: TrainingConfig,
        augmentation: AugmentationConfig,
        train: Split,
        val: Split,
        component: str,
        code: str = "",
    ):
        """Decides; nothing is computed yet.

        Arguments but these are as in `trainer_module.phases.setup.Setup`.

        Args:
            folder: Folder of all frozen features of a pipeline.
            code: Digest of the code that makes a network and its inputs.
        """
        self._folder = folder
        self._model = model
        self._backbone = backbone
        self._training = training
        self._augmentation = augmentation
        self._splits = {"train": train, "val": val}
        self._component = component
        self._code = code
        self._network = Network(model, backbone)
        rates = RATES["gpu" if tf.config.list_logical_devices("GPU") else "cpu"]
        self.planner = Planner(training, augmentation, self._network.graph, train.examples, val.examples, rates)
        self._store = Store(Path(folder), self.planner.disk_bytes)
        self._at_once = training.batch_size
        self._compiled: dict[tuple[str, ...], FrozenPart] = {}
        self._broken = ""
        if left_behind := self._store.left_behind():
            earlier, size = left_behind
            self._say(f"{earlier} ({size / 1e6:,.1f} MB) was kept by an earlier version; delete it, nothing reads it.")

    def of(
        self, training: TrainingConfig, train: Split, val: Split, augmentation: AugmentationConfig | None = None
    ) -> FrozenFeatures:
        """Returns the frozen features of the same network, in the same folder, for another training or other splits.

        What is left out of `augmentation` stays as it is.
        """
        network = self._folder, self._model, self._backbone
        changes = augmentation or self._augmentation
        return FrozenFeatures(*network, training, changes, train, val, self._component, self._code)

    def feeds(self, index: int, first_epoch: int, first_step: int, at_once: int | None = None) -> Feeds:
        """Returns what a phase trains and validates on, after one pass over the examples where something is missing.

        Args:
            index: Number of the phase.
            first_epoch: The epoch to begin with, of all epochs of the run, from 0.
            first_step: The step of that epoch to begin with.
            at_once: Examples for which memory suffices; None takes `training.batch_size`.

        Raises:
            RunError: The config insists on frozen features, and they cannot be written or read.
        """
        self._at_once = at_once or self._training.batch_size
        decision = Decision.off(self._broken) if self._broken else self.planner.decisions[index]
        kept: dict[str, Kept] = {}
        try:
            for split in self._splits:
                if decision.place(split) != "off":
                    kept[split] = self._kept(split, index, in_memory=decision.place(split) == "memory")
        except OSError as error:
            self._give_up(error)
            kept, decision = {}, Decision.off(self._broken)
        return self._feeds(index, kept, decision, first_epoch, first_step)

    def _feeds(self, index: int, kept: dict[str, Kept], decision: Decision, first_epoch: int, first_step: int) -> Feeds:
        training, train, val = self._training, self._splits["train"], self._splits["val"]
        tail = self._network.tail(self.planner.cut(index)) if kept else self._model
        course = (training.batch_size, training.seed, self.planner.augmentation_of(index), first_epoch, first_step)
        if "train" in kept:
            train_feed = Feed(tail, training_rows(train, kept["train"], *course))
        else:
            train_feed = Feed(self._model, training_batches(train, *course))
        if "val" in kept:
            val_feed = Feed(tail, evaluation_rows(kept["val"], self._at_once))
        else:
            val_feed = Feed(self._model, evaluation_batches(val, self._at_once))
        row = {"cached_trunk": "train" in kept, "frozen_features": self.planner.row(index, decision)}
        return Feeds(train_feed, val_feed, row)

    def _give_up(self, error: OSError) -> None:
        self._broken = f"the cache in {self._store.root} cannot be written or read: {error}"
        if self._training.frozen_features.cache == "on":
            raise RunError(
                f"training.frozen_features.cache: got on, but {self._broken}. Make room there, choose another "
                "`output_dir`, or set training.frozen_features.cache=auto to train without."
            ) from error
        self._say(f"{self._broken}; training goes on without it", level="warning")

    def _kept(self, split: str, index: int, in_memory: bool) -> Kept:
        """Returns what is kept of a split for a phase, filled where it has gaps."""
        cut = self.planner.cut(index)
        shards = self._whole(split, index)
        of_each = labels(self._splits[split])
        kept = Kept(shards, of_each, cut.shape, self._stored(cut), self._network.dtype(cut))
        return kept.in_memory() if in_memory else kept

    def _whole(self, split: str, index: int) -> Shards:
        """Fills what is missing at the phase's cut, and in the same pass at those of later phases."""
        wanted: dict[str, tuple[Cut, Shards]] = {}
        for later in self.planner.filled_together(index, split):
            cut = self.planner.cut(later)
            wanted.setdefault(cut.node.name, (cut, self._shards(split, cut, later)))
        gaps: list[tuple[Cut, Gaps]] = []
        for cut, shards in wanted.values():
            missing, damaged = shards.load()
            if damaged:
                self._say(
                    f"{len(damaged)} of {shards.count} files of frozen features in {shards.folder} are damaged and are "
                    "computed anew",
                    level="warning",
                )
            if missing or damaged:
                gaps.append((cut, Gaps(shards, frozenset(missing + damaged))))
        if gaps:
            needed = sum(gap.size for _, gap in gaps)
            self._store.make_room(needed, {shards.folder for _, shards in wanted.values()})
            self._fill(split, [cut for cut, _ in gaps], [gap for _, gap in gaps], index)
        return wanted[self.planner.cut(index).node.name][1]

    def _fill(self, split: str, cuts: Sequence[Cut], gaps: Sequence[Gaps], index: int) -> None:
        start = time.monotonic()
        rows = np.logical_or.reduce([gap.rows() for gap in gaps])
        total = int(rows.sum())
        config = self.planner.augmentation_of(index) if split == "train" else None
        batches = numbered_inputs(self._splits[split], rows, self._fill_batch, config, self._training.seed)
        names = tuple(cut.node.name for cut in cuts)
        if names not in self._compiled:
            self._compiled[names] = self._frozen_part(cuts, batches.element_spec[1])
        done, told = 0, 0.0
        for numbers, inputs in batches:
            for gap, output in zip(gaps, self._compiled[names](inputs), strict=True):
                gap.take(int(numbers[0]), output.numpy())
            done += len(numbers)
            if time.monotonic() - told > SECONDS_BETWEEN_EVENTS:
                told = time.monotonic()
                unit = "examples through the frozen layers"
                emit(Progress(component=self._component, done=done, total=total, unit=unit))
        layers = ", ".join(dict.fromkeys(cut.node.layer for cut in cuts))
        self._say(
            f"the frozen layers ran once over {total:,} examples of {split} in {time.monotonic() - start:.1f} s; "
            f"what they gave at {layers} is kept ({sum(gap.size for gap in gaps) / 1e6:,.1f} MB)"
        )

    def _frozen_part(self, cuts: Sequence[Cut], spec: Any) -> FrozenPart:
        """Compiles the network up to all cuts, for inputs of a specification."""
        frozen, dtypes = self._network.frozen_part(cuts), [self._stored(cut) for cut in cuts]

        @tf.function(autograph=False, input_signature=[spec])
        def step(inputs: NetworkInput) -> list[tf.Tensor]:
            return [tf.cast(output, dtype) for output, dtype in zip(frozen(inputs), dtypes, strict=True)]

        return step

    def _shards(self, split: str, cut: Cut, index: int) -> Shards:
        examples = self._splits[split]
        facts: dict[str, Any] = {
            "format": 2,
            "split": {"digest": examples.digest, "order": examples.order, "examples": examples.examples},
            "views": self.planner.views(index, split),
            "frozen": self._network.digest(cut),
            "cut": cut.node.layer,
            "shape": list(cut.shape),
            "dtype": self._stored(cut).name,
            "batch": self._fill_batch,
            "code": self._code,
            "tensorflow": tf.__version__,
        }
        copies = self.planner.copies(index) if split == "train" else 1
        return Shards(self._store.root, facts, examples.examples * copies, cut.row_bytes(self.planner.item_bytes))

    @property
    def _fill_batch(self) -> int:
        """Returns a power of two, so that no batch crosses the end of a shard."""
        return 2 ** (min(FILL_BATCH, self._at_once).bit_length() - 1)

    def _stored(self, cut: Cut) -> tf.DType:
        """Returns the configured type, or that of the output where it is smaller."""
        dtype = self._network.dtype(cut)
        return dtype if dtype.size <= self.planner.item_bytes else tf.as_dtype(self._training.frozen_features.dtype)

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        emit(Note(text=f"{self._component}: {text}", level=level))

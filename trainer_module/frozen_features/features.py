"""Frozen features of a training: what the planner decides is filled, kept in the store, and fed to the phases."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, TrainingConfig
from finetune.errors import RunError
from finetune.events import Note, Progress, emit
from finetune.example_cache import ExampleCache
from trainer_module.examples.input_data import (
    Split,
    evaluation_batches,
    labels,
    numbered_inputs,
    targets,
    training_batches,
)
from trainer_module.frozen_features.cuts import Cut
from trainer_module.frozen_features.feed import Feed, Feeds, Kept, evaluation_rows, training_rows
from trainer_module.frozen_features.network import Network
from trainer_module.frozen_features.plan import RATES, Decision
from trainer_module.frozen_features.planner import Planner
from trainer_module.frozen_features.rows import Rows, left_behind, missing_rows
from transforms.inputs import NetworkInput

SECONDS_BETWEEN_EVENTS = 0.5
# Examples that go through the frozen layers together, where memory suffices to train on a quarter of them.
FILL_BATCH = 32
FrozenPart = Callable[[NetworkInput], list[tf.Tensor]]


@dataclass(frozen=True)
class Gap:
    """A gap is what no run has kept at a cut."""

    cut: Cut
    cache: ExampleCache
    missing: np.ndarray  # bool [rows].
    into: Rows | None  # Where the phase reads them; None where only a later one does.

    def take(self, numbers: np.ndarray, rows: np.ndarray, keys: Sequence[bytes]) -> None:
        """Keeps those of the rows with these numbers that are missing."""
        for number, row in zip(numbers, rows, strict=True):
            if self.missing[number]:
                self.cache.put(keys[number], row.tobytes())
                if self.into:
                    self.into.put(number, row.tobytes())


@dataclass(frozen=True)
class Known:
    """Known is what all trainings of one network in one folder share."""

    network: Network
    caches: dict[tuple[str, float], ExampleCache] = field(default_factory=dict)
    compiled: dict[tuple[int | str, ...], FrozenPart] = field(default_factory=dict)


class FrozenFeatures:
    """Gives each phase its feeds.

    Nothing that is kept depends on the seed, but for views, so that runs with other seeds, other heads and other rates
    share it.
    """

    def __init__(
        self,
        folder: str | Path,
        model: keras.Model,
        backbone: keras.Model,
        training: TrainingConfig,
        augmentation: AugmentationConfig,
        train: Split,
        val: Split,
        component: str,
        code: str = "",
        known: Known | None = None,
    ):
        """Decides; nothing is computed yet.

        Arguments but these are as in `trainer_module.phases.setup.Setup`.

        Args:
            folder: Folder of all frozen features of a pipeline.
            code: Digest of the code that makes a network and its inputs.
            known: What earlier trainings of the same network found out; None where there were none.
        """
        self._folder = Path(folder)
        self._model = model
        self._backbone = backbone
        self._training = training
        self._augmentation = augmentation
        self._splits = {"train": train, "val": val}
        self._component = component
        self._code = code
        self._known = known or Known(Network(model, backbone))
        self._network = self._known.network
        rates = RATES["gpu" if tf.config.list_logical_devices("GPU") else "cpu"]
        self.planner = Planner(training, augmentation, self._network.graph, train.examples, val.examples, rates)
        self._at_once = training.batch_size
        self._broken = ""
        if found := left_behind(self._folder):
            earlier, size = found
            self._say(f"{earlier} ({size / 1e6:,.1f} MB) was kept by an earlier version; delete it, nothing reads it.")

    def of(
        self, training: TrainingConfig, train: Split, val: Split, augmentation: AugmentationConfig | None = None
    ) -> FrozenFeatures:
        """Returns the frozen features of the same network, in the same folder, for another training or other splits.

        What is left out of `augmentation` stays as it is.
        """
        network = self._folder, self._model, self._backbone
        changes = augmentation or self._augmentation
        return FrozenFeatures(*network, training, changes, train, val, self._component, self._code, self._known)

    def around(self, model: keras.Model, backbone: keras.Model) -> FrozenFeatures:
        """Returns the frozen features of another network on the same examples, in the same folder."""
        splits = self._splits["train"], self._splits["val"]
        own = self._training, self._augmentation, *splits, self._component, self._code
        return FrozenFeatures(self._folder, model, backbone, *own)

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
            train_feed = Feed(tail, training_rows(train, kept["train"], *course), kept["train"])
        else:
            train_feed = Feed(self._model, training_batches(train, *course))
        if "val" in kept:
            val_feed = Feed(tail, evaluation_rows(kept["val"], self._at_once), kept["val"])
        else:
            val_feed = Feed(self._model, evaluation_batches(val, self._at_once))
        row = {"cached_trunk": "train" in kept, "frozen_features": self.planner.row(index, decision)}
        return Feeds(train_feed, val_feed, row)

    def _give_up(self, error: OSError) -> None:
        self._broken = f"the cache in {self._folder} cannot be written or read: {error}"
        if self._training.frozen_features.cache == "on":
            raise RunError(
                f"training.frozen_features.cache: got on, but {self._broken}. Make room there, choose another "
                "`output_dir`, or set training.frozen_features.cache=auto to train without."
            ) from error
        self._say(f"{self._broken}; training goes on without it", level="warning")

    def _kept(self, split: str, index: int, in_memory: bool) -> Kept:
        """Returns the rows of a split for a phase, those that no run has kept computed now.

        In the same pass it computes and keeps what is missing at the cuts of later phases.
        """
        keys, views = self._keys(split, index), self.planner.views(index, split)
        own = self.planner.cut(index)
        rows = Rows(len(keys), self._row_bytes(own), None if in_memory else self._folder)
        gaps: dict[str, Gap] = {}
        for later in self.planner.filled_together(index, split):
            cut = self.planner.cut(later)
            if cut.name not in gaps:
                cache = self._cache(cut, views)
                into = rows if cut.name == own.name else None
                gaps[cut.name] = self._gap(cut, cache, keys, into)
        left = [gap for gap in gaps.values() if gap.missing.any()]
        if left:
            self._fill(split, left, keys, index)
        # Labels alone judge in validation.
        of_each = (targets if split == "train" else labels)(self._splits[split])
        return Kept(rows, of_each, own.shape, self._stored(own), self._network.dtype(own))

    def _gap(self, cut: Cut, cache: ExampleCache, keys: list[bytes], into: Rows | None) -> Gap:
        before = cache.damaged
        missing = missing_rows(len(keys), lambda number: cache.get(keys[number]), self._row_bytes(cut), into)
        if damaged := cache.damaged - before:
            self._say(
                f"what {cut.layer} gave for {damaged:,} examples, kept in {self._folder}, is damaged and is "
                "computed anew",
                level="warning",
            )
        return Gap(cut, cache, missing, into)

    def _fill(self, split: str, gaps: Sequence[Gap], keys: list[bytes], index: int) -> None:
        start = time.monotonic()
        wanted = np.logical_or.reduce([gap.missing for gap in gaps])
        total = int(wanted.sum())
        config = self.planner.augmentation_of(index) if split == "train" else None
        batches = numbered_inputs(self._splits[split], wanted, self._fill_batch, config, self._training.seed)
        cuts = [gap.cut for gap in gaps]
        spec = repr(batches.element_spec)
        what: tuple[int | str, ...] = (
            self._fill_batch,
            spec,
            *(f"{cut.name} {self._stored(cut).name}" for cut in cuts),
        )
        if what not in self._known.compiled:
            self._known.compiled[what] = self._frozen_part(cuts, batches.element_spec[1])
        done, told = 0, 0.0
        for numbers, inputs in batches:
            for gap, output in zip(gaps, self._known.compiled[what](inputs), strict=True):
                gap.take(numbers.numpy(), output.numpy(), keys)
            done += len(numbers)
            if time.monotonic() - told > SECONDS_BETWEEN_EVENTS:
                told = time.monotonic()
                unit = "examples through the frozen layers"
                emit(Progress(component=self._component, done=done, total=total, unit=unit))
        for gap in gaps:
            gap.cache.tidy()
        layers = ", ".join(dict.fromkeys(cut.layer for cut in cuts))
        size = sum(int(gap.missing.sum()) * self._row_bytes(gap.cut) for gap in gaps)
        self._say(
            f"the frozen layers ran once over {total:,} examples in {time.monotonic() - start:.1f} s; "
            f"what they gave at {layers} is kept ({size / 1e6:,.1f} MB)"
        )

    def _frozen_part(self, cuts: Sequence[Cut], spec: Any) -> FrozenPart:
        """Compiles the network up to all cuts, for inputs of a specification."""
        frozen, dtypes = self._network.frozen_part(cuts), [self._stored(cut) for cut in cuts]

        @tf.function(autograph=False, input_signature=[spec])
        def step(inputs: NetworkInput) -> list[tf.Tensor]:
            # A batch of another size may be computed in another order, and so to other bits.
            count = tf.shape(tf.nest.flatten(inputs)[0])[0]
            first = tf.zeros(self._fill_batch - count, tf.int32)
            filled = tf.nest.map_structure(lambda each: tf.concat([each, tf.gather(each, first)], axis=0), inputs)
            return [tf.cast(output[:count], dtype) for output, dtype in zip(frozen(filled), dtypes, strict=True)]

        return step

    def _keys(self, split: str, index: int) -> list[bytes]:
        """Returns what identifies each row: what the network reads of the example, and of a copy its number too."""
        contents = self._splits[split].contents
        if self.planner.views(index, split) is None:
            return [content.tobytes() for content in contents]
        rows = range(self.planner.copies(index) * len(contents))
        return [contents[row % len(contents)].tobytes() + row.to_bytes(8, "little") for row in rows]

    def _cache(self, cut: Cut, views: dict[str, Any] | None) -> ExampleCache:
        """Opens what is kept at a cut, under all that rows depend on besides the examples."""
        facts: dict[str, Any] = {
            "views": views,
            "frozen": self._network.digest(cut),
            "cut": cut.layer,
            "shape": list(cut.shape),
            "dtype": self._stored(cut).name,
            "batch": self._fill_batch,
            "code": self._code,
            "tensorflow": tf.__version__,
        }
        made_by = json.dumps(facts, sort_keys=True)
        key = made_by, self.planner.disk_bytes
        if key not in self._known.caches:
            self._known.caches[key] = ExampleCache(self._folder, *key)
        return self._known.caches[key]

    @property
    def _fill_batch(self) -> int:
        """Returns a power of two, the same for all but the smallest batches of training, which share what is kept.

        Nothing has to be held for gradients: of four examples that is less than training holds of one.
        """
        return 2 ** (min(FILL_BATCH, 4 * self._at_once).bit_length() - 1)

    def _row_bytes(self, cut: Cut) -> int:
        return cut.row_bytes(self.planner.item_bytes)

    def _stored(self, cut: Cut) -> tf.DType:
        """Returns the configured type, or that of the output where it is smaller."""
        dtype = self._network.dtype(cut)
        return dtype if dtype.size <= self.planner.item_bytes else tf.as_dtype(self._training.frozen_features.dtype)

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        emit(Note(text=f"{self._component}: {text}", level=level))

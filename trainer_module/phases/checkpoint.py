"""Saves where training stands, so that a killed run goes on from there and ends with the same weights, bit by bit.

A checkpoint is one file: a SHA-256 in hexadecimal, a newline, and what it is the sum of: the length of a JSON text,
that text, which lists the arrays of a `State` and holds everything else of it, and the bytes of the arrays. It is
written under another name and renamed, so that it is there as a whole or not at all; the one before is kept for the
case that the disk lies, and the last that the disk was waited for, for the case that the machine fails.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finetune.config import CheckpointConfig, EarlyStoppingConfig
from finetune.events import Note, emit
from finetune.files import replacing
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.optimizers import Slots
from trainer_module.phases.state import Snapshot, State
from trainer_module.phases.totals import Totals

KEPT = 2
# A killed process loses nothing that it wrote; a machine that fails, what the disk did not have yet: this much. Waiting
# for the disk at each epoch would take a tenth of the time of an epoch of a head.
SECONDS_BETWEEN_SYNCS = 10.0
# What JSON holds as it is.
_PLAIN = (
    "phase",
    "epoch",
    "step",
    "before",
    "rate_scale",
    "rollbacks",
    "gradient_accumulation_steps",
    "seconds",
    "rows",
    "curves",
)


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A digest of all that the course of training depends on: config, data, code."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """The checkpoints of one Trainer node, in a folder of its own."""

    def __init__(self, folder: str, fingerprint: str, config: CheckpointConfig, component: str, writes: bool = True):
        """Opens the folder.

        Args:
            folder: Made when the first checkpoint is written.
            fingerprint: Checkpoints with another one are not used.
            config: How often to save within an epoch.
            component: Id of the pipeline node, for messages.
            writes: Whether this process writes; of several workers, one does.
        """
        self._folder = Path(folder)
        self._fingerprint = fingerprint
        self._config = config
        self._component = component
        self._writes = writes
        self._saved_at = time.monotonic()
        self._synced_at = -math.inf
        self._synced: Path | None = None

    def load(self) -> State:
        """Returns the newest state that is whole and belongs to this training, or that of the very start."""
        for path in sorted(self._folder.glob("*.ckpt"), reverse=True):
            found = _read(path)
            if found is None:
                self._say(f"{path} is torn or corrupt; the checkpoint before it is used", level="warning")
            elif found[0] != self._fingerprint:
                self._say("the config, the data or the code changed since the last checkpoint; training starts afresh")
                self.clear()
                break
            else:
                state = found[1]
                self._say(
                    f"training goes on from a checkpoint: phase {state.phase + 1}, epoch {state.epoch}, "
                    f"{state.step} steps done"
                )
                return state
        return State()

    def is_due(self, step: int) -> bool:
        """Whether to save after this many steps of an epoch."""
        if self._config.every_steps:
            return step % self._config.every_steps == 0
        minutes = self._config.every_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def save(self, state: State) -> None:
        """Writes a state and drops all but the newest checkpoints, and the last that the disk was waited for."""
        self._saved_at = time.monotonic()
        if not self._writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(self._folder.glob("*.ckpt"))
        number = int(paths[-1].stem) + 1 if paths else 1
        payload = _pack(self._fingerprint, state)
        target = self._folder / f"{number:08}.ckpt"
        sync = self._saved_at - self._synced_at >= SECONDS_BETWEEN_SYNCS
        with replacing(target, sync) as unfinished, unfinished.open("wb") as file:
            file.write(hashlib.sha256(payload).hexdigest().encode() + b"\n")
            file.write(payload)
        if sync:
            self._synced, self._synced_at = target, self._saved_at
        for path in paths[: 1 - KEPT]:
            if path != self._synced:
                path.unlink()

    def clear(self) -> None:
        """Removes all checkpoints."""
        if self._writes:
            # Those that a killed process left half written among them.
            for path in [*self._folder.glob("*.ckpt"), *self._folder.glob(".*.ckpt.*")]:
                path.unlink()

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        emit(Note(text=f"{self._component}: {text}", level=level))


def _pack(fingerprint: str, state: State) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    plain["totals"] = dataclasses.astuple(state.totals)
    plain["loss_scale"] = dataclasses.astuple(state.loss_scale)
    if state.stopping:
        config = state.stopping.config
        plain["stopping"] = {**vars(state.stopping), "config": config.model_dump() if config else None}
    plain["best_is_now"] = state.best is state.now
    for name in ("now",) if state.best is state.now else ("now", "best"):
        snapshot: Snapshot = getattr(state, name)
        plain[name] = {"weights": len(snapshot.weights), "updates": {}}
        arrays.update({f"{name}/{place}": value for place, value in enumerate(snapshot.weights)})
        for place, each in snapshot.slots.items():
            plain[name]["updates"][place] = [each.updates, len(each.values)]
            arrays.update({f"{name}/{place}/{slot}": value for slot, value in enumerate(each.values)})
    # What did not move is the same array in both snapshots, and is written once.
    offsets: dict[int, int] = {}
    parts, size = [], 0
    for value in arrays.values():
        if id(value) not in offsets:
            offsets[id(value)] = size
            parts.append(value.tobytes())
            size += value.nbytes
    index = [[name, value.dtype.str, value.shape, offsets[id(value)]] for name, value in arrays.items()]
    text = json.dumps({"fingerprint": fingerprint, "state": plain, "arrays": index}).encode()
    # An .npz archive of as many small arrays takes longer to write than an epoch of a head takes to train.
    return b"".join([b"%d\n" % len(text), text, *parts])


def _read(path: Path) -> tuple[str, State] | None:
    """Returns the fingerprint and the state, or None when the file is not whole."""
    digest, _, payload = path.read_bytes().partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        return None
    length, _, rest = payload.partition(b"\n")
    if not length.isdigit():
        return None
    text = json.loads(rest[: int(length)])
    plain, start = text["state"], int(length)
    arrays = {
        name: np.frombuffer(rest, dtype, math.prod(shape), start + offset).reshape(shape)
        for name, dtype, shape, offset in text["arrays"]
    }

    def snapshot(name: str) -> Snapshot:
        weights = [arrays[f"{name}/{place}"] for place in range(plain[name]["weights"])]
        slots = {
            int(place): Slots(updates, tuple(arrays[f"{name}/{place}/{slot}"] for slot in range(count)))
            for place, (updates, count) in plain[name]["updates"].items()
        }
        return Snapshot(weights, slots)

    now = snapshot("now")
    best = now if plain["best_is_now"] else snapshot("best")
    totals, loss_scale = Totals(*plain["totals"]), LossScale(*plain["loss_scale"])
    state = State(**{name: plain[name] for name in _PLAIN}, totals=totals, loss_scale=loss_scale, now=now, best=best)
    if "stopping" in plain:
        config = plain["stopping"].pop("config")
        state.stopping = EarlyStopping(config and EarlyStoppingConfig(**config), **plain["stopping"])
    return text["fingerprint"], state

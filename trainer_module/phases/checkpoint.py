"""Saves where training stands, so that a killed run goes on from there and ends with the same weights, bit by bit.

A checkpoint is a file of safetensors: the arrays of a `State`, and as metadata the fingerprint of the training, the
rest of the state as JSON, and a digest over all of it. It is there as a whole or not at all; the one before is kept for
the case that the disk lies, and the last that the disk was waited for, for the case that the machine fails. Those after
that last one leave out the arrays that they share with it, and name it as their base: a frozen backbone is not written
in every epoch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from finetune.config import CheckpointConfig, EarlyStoppingConfig
from finetune.events import Note, emit
from finetune.files import replacing
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.loop import Totals
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.optimizers import Slots
from trainer_module.phases.state import Snapshot, State

KEPT = 2
# A killed process loses nothing that it wrote; a machine that fails, what the disk did not have yet: this much. Waiting
# for the disk at each epoch would take a tenth of the time of an epoch of a head.
SECONDS_BETWEEN_SYNCS = 10.0
# What JSON holds as it is.
_PLAIN = (
    "phase", "epoch", "step", "before", "rate_scale", "rollbacks", "gradient_accumulation_steps", "seconds", "rows",
    "curves",
)  # fmt: skip


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Returns a digest of all that the course of training depends on: config, data, code."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """Holds the checkpoints of one Trainer node, in a folder of its own."""

    def __init__(self, folder: str, fingerprint: str, config: CheckpointConfig, component: str, writes: bool = True):
        """Opens the folder, which is made when the first checkpoint is written.

        Args:
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
        # The arrays of that file by their names, for as long as a state has them.
        self._written: weakref.WeakValueDictionary[str, np.ndarray] = weakref.WeakValueDictionary()

    def load(self) -> State:
        """Returns the newest state that is whole and belongs to this training, or that of the very start."""
        if any(self._folder.glob("*.ckpt")):
            self._say(f"an earlier version wrote the checkpoints in {self._folder}; training starts afresh")
            self.clear()
        for path in reversed(self._paths()):
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
        """Says whether to save after this many steps of an epoch."""
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
        paths = self._paths()
        number = int(paths[-1].stem) + 1 if paths else 1
        target = self._folder / f"{number:08}.safetensors"
        sync = self._saved_at - self._synced_at >= SECONDS_BETWEEN_SYNCS
        base = None if sync else self._synced
        written = {id(array): name for name, array in self._written.items()} if base else {}
        text, arrays, shared = _packed(state, target.stem, written)
        facts = {"fingerprint": self._fingerprint, "base": base.name if base and shared else "", "state": text}
        with replacing(target, sync) as unfinished:
            unfinished.write_bytes(save(arrays, {**facts, "sha256": _digest(facts, arrays)}))
        if sync:
            self._synced, self._synced_at = target, self._saved_at
            self._written = weakref.WeakValueDictionary(arrays)
        wanted = {self._synced, target, *paths[1 - KEPT :]}
        bases = {_base_of(path) for path in wanted if path}
        for path in paths:
            if path not in wanted and path.name not in bases:
                path.unlink()

    def clear(self) -> None:
        """Removes all checkpoints, unfinished ones, those of a search and those of earlier versions."""
        if self._writes:
            for path in self._folder.glob("*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.safetensors"))

    def _say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        emit(Note(text=f"{self._component}: {text}", level=level))


def _packed(state: State, prefix: str, written: Mapping[int, str]) -> tuple[str, dict[str, np.ndarray], bool]:
    """Takes a state apart.

    Args:
        state: Where training stands.
        prefix: Begins the names of the arrays, so that they differ from those of other checkpoints.
        written: Names of arrays that another checkpoint has, by the identity of the array.

    Returns:
        The state as JSON with names in place of arrays, the arrays that are to be written, and whether it needs others.
    """
    arrays: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}

    def named(value: np.ndarray) -> str:
        """Names an array; what did not move is the same array in both snapshots, and is written once."""
        if id(value) in names:
            return names[id(value)]
        name = names[id(value)] = written.get(id(value)) or f"{prefix}.{len(names)}"
        if id(value) not in written:
            # TensorFlow gives scalars as numbers of NumPy.
            arrays[name] = np.asarray(value)
        return name

    def outline(snapshot: Snapshot) -> dict[str, Any]:
        slots = {
            place: [each.updates, [named(value) for value in each.values]] for place, each in snapshot.slots.items()
        }
        return {"weights": [named(value) for value in snapshot.weights], "slots": slots}

    plain: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    plain["totals"] = dataclasses.astuple(state.totals)
    plain["loss_scale"] = dataclasses.astuple(state.loss_scale)
    if state.stopping:
        config = state.stopping.config
        plain["stopping"] = {**vars(state.stopping), "config": config.model_dump() if config else None}
    plain["now"] = outline(state.now)
    plain["best"] = None if state.best is state.now else outline(state.best)
    plain["start"] = outline(state.start)
    return json.dumps(plain), arrays, len(names) > len(arrays)


def _read(path: Path) -> tuple[str, State] | None:
    """Returns the fingerprint and the state, or None when the file or its base is not whole."""
    own = _content(path)
    if own is None:
        return None
    facts, arrays = own
    if facts["base"]:
        base = _content(path.with_name(facts["base"]))
        if base is None:
            return None
        arrays |= base[1]
    return facts["fingerprint"], _unpacked(json.loads(facts["state"]), arrays)


def _content(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]] | None:
    """Returns what a file says and its arrays, or None when it is not whole or not there."""
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, FileNotFoundError):
        return None
    digest = facts.pop("sha256", "")
    return (facts, arrays) if digest == _digest(facts, arrays) else None


def _base_of(path: Path) -> str:
    """Returns the name of a checkpoint's base; "" where it has none or is not whole."""
    try:
        with safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get("base", "")
    except (SafetensorError, FileNotFoundError):
        return ""


def _unpacked(plain: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> State:
    def snapshot(outline: dict[str, Any]) -> Snapshot:
        slots = {
            int(place): Slots(updates, tuple(arrays[name] for name in names))
            for place, (updates, names) in outline["slots"].items()
        }
        return Snapshot([arrays[name] for name in outline["weights"]], slots)

    now = snapshot(plain["now"])
    best = snapshot(plain["best"]) if plain["best"] else now
    start = snapshot(plain["start"])
    totals, loss_scale = Totals(*plain["totals"]), LossScale(*plain["loss_scale"])
    plainly = {name: plain[name] for name in _PLAIN}
    state = State(**plainly, totals=totals, loss_scale=loss_scale, now=now, best=best, start=start)
    if "stopping" in plain:
        config = plain["stopping"].pop("config")
        state.stopping = EarlyStopping(config and EarlyStoppingConfig(**config), **plain["stopping"])
    return state


def _digest(facts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 over all that a checkpoint holds; safetensors has no checksum of its own."""
    outlines = [[name, value.dtype.str, value.shape] for name, value in sorted(arrays.items())]
    digest = hashlib.sha256(json.dumps([sorted(facts.items()), outlines]).encode())
    for _, value in sorted(arrays.items()):
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()

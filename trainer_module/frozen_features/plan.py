"""Whether frozen features pay in each phase, and where they are kept. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer_module.frozen_features.cuts import Cut

Place = Literal["off", "memory", "disk"]


@dataclass(frozen=True)
class Rates:
    """Rates say what a machine does in a second, to the order of magnitude, on the careful side."""

    multiply_adds: float  # Multiplications of convolutions, each with its addition.
    memory_bytes: float  # Bytes gathered into batches, and brought to the device.
    disk_bytes: float  # Bytes read in random order, or written.


# Two cores reach 1e10 on MobileNetV2 and 4e10 on ResNet50; a data-centre GPU reaches a few 1e12. Figures on the fast
# side for computing and on the slow side for reading keep the cache where it surely pays.
RATES = {"cpu": Rates(5e10, 1e9, 2e8), "gpu": Rates(5e12, 4e9, 5e8)}


@dataclass(frozen=True)
class PhaseNeed:
    """A need says what there is to save in a phase."""

    cut: Cut | None  # Where the network can be cut; None when it cannot.
    epochs: float  # How long it lasts at most.
    views: int = 1  # Rows kept of each training example; 0 when every epoch makes new ones.


@dataclass(frozen=True)
class Budget:
    """A budget says how much may be kept."""

    item_bytes: int  # Bytes of one number.
    memory_bytes: float  # Bytes that a phase reads from memory; what is larger is read from disk.
    disk_bytes: float  # Bytes on disk of what all phases read.


@dataclass(frozen=True)
class Decision:
    """A decision says what a phase does."""

    train: Place  # Where it reads the train split from; `off` runs the whole network on it.
    val: Place  # The same of the validation split.
    train_bytes: int  # Size of what is kept of the train split.
    val_bytes: int  # Size of what is kept of the validation split.
    reason: str  # Why, as a part of a sentence.

    @classmethod
    def off(cls, reason: str) -> Decision:
        """Runs the whole network on everything."""
        return cls("off", "off", 0, 0, reason)

    def place(self, split: str) -> Place:
        """Returns where a split is read from: `train` or `val`."""
        return self.train if split == "train" else self.val

    @property
    def kept_bytes(self) -> int:
        """Counts the bytes that the phase reads of what is kept."""
        train = self.train_bytes if self.train != "off" else 0
        return train + (self.val_bytes if self.val != "off" else 0)


def decide(mode: str, needs: Sequence[PhaseNeed], train: int, val: int, budget: Budget, rates: Rates) -> list[Decision]:
    """Decides for all phases together, as one pass over the pictures fills what all of them read.

    Args:
        mode: `training.frozen_features.cache`. `on` caches wherever there is a cut.
        needs: What there is to save in each phase.
        train: Examples in the train split; `val` those in the validation split.
    """
    if mode == "off":
        return [Decision.off("training.frozen_features is off")] * len(needs)
    sizes = [_Size.of(need.cut, need, train, val, budget) if need.cut else None for need in needs]
    pays = [size is not None and (mode == "on" or size.gain(budget, rates) > 0) for size in sizes]
    chosen = [size for size, pay in zip(sizes, pays, strict=True) if size and pay]
    # The one pass that fills everything goes as deep as the deepest cut.
    fill = max((size.rows * size.cut.multiply_adds / rates.multiply_adds for size in chosen), default=0.0)
    too_short = mode != "on" and sum(size.gain(budget, rates) for size in chosen) <= fill
    kept = [] if too_short else list(chosen)
    while kept and _on_disk(kept) > budget.disk_bytes:
        kept.remove(max(kept, key=lambda size: size.row_bytes))

    def decision(size: _Size | None, pay: bool) -> Decision:
        if size is None:
            return Decision.off("nothing below the first layer that trains is worth keeping")
        layer = size.cut.layer
        if not pay:
            return Decision.off(f"reading back what {layer} gives takes longer than computing it")
        if too_short:
            return Decision.off("the phases are too short to win back the pass that fills the cache")
        if size not in kept:
            return Decision.off(f"what {layer} gives is larger than training.frozen_features.disk_gb allows")
        return size.place(budget)

    return [decision(size, pay) for size, pay in zip(sizes, pays, strict=True)]


@dataclass(frozen=True)
class _Size:
    """A size says what a phase reads and spares."""

    cut: Cut
    row_bytes: int
    train_rows: int
    val_rows: int
    seen: float

    @classmethod
    def of(cls, cut: Cut, need: PhaseNeed, train: int, val: int, budget: Budget) -> _Size:
        # Validation also runs once before the first epoch.
        seen = (need.epochs * train if need.views else 0) + (need.epochs + 1) * val
        return cls(cut, cut.row_bytes(budget.item_bytes), train * need.views, val, seen)

    @property
    def rows(self) -> int:
        return self.train_rows + self.val_rows

    def gain(self, budget: Budget, rates: Rates) -> float:
        """Returns the seconds that the phase saves, before the pass that fills the cache."""
        in_memory = self.rows * self.row_bytes <= budget.memory_bytes
        read = self.seen * self.row_bytes / (rates.memory_bytes if in_memory else rates.disk_bytes)
        written = self.rows * self.row_bytes / rates.disk_bytes
        return self.seen * self.cut.multiply_adds / rates.multiply_adds - read - written

    def place(self, budget: Budget) -> Decision:
        train_bytes, val_bytes = self.train_rows * self.row_bytes, self.val_rows * self.row_bytes
        val: Place = "memory" if val_bytes <= budget.memory_bytes else "disk"
        in_memory = train_bytes + (val_bytes if val == "memory" else 0) <= budget.memory_bytes
        train: Place = "off" if not self.train_rows else "memory" if in_memory else "disk"
        reason = f"the network up to {self.cut.layer} runs once"
        if train == "off":
            reason += " for validation, and always for training: augmentation makes new pictures in every epoch"
        return Decision(train, val, train_bytes, val_bytes, reason)


def _on_disk(sizes: Sequence[_Size]) -> int:
    """Counts the bytes of all; phases that share a cut share what is kept."""
    return sum({(size.cut.name, size.train_rows): size.rows * size.row_bytes for size in sizes}.values())

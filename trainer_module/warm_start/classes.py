"""Which classes came and went since a model was trained, and its columns in the new order. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassChange:
    """The classes of a champion beside those of the data."""

    kept: tuple[str, ...]  # In the order of the data.
    added: tuple[str, ...]  # The champion does not know them.
    vanished: tuple[str, ...]  # The data have no example of them.

    @classmethod
    def between(cls, before: Sequence[str], now: Sequence[str]) -> ClassChange:
        """Compares the classes of a champion with those of the data."""
        kept = tuple(name for name in now if name in before)
        added = tuple(name for name in now if name not in before)
        return cls(kept, added, tuple(name for name in before if name not in now))

    def __str__(self) -> str:
        """Says in words what changed."""
        parts = [
            f"{', '.join(names)} {verb}" for names, verb in ((self.added, "came"), (self.vanished, "went")) if names
        ]
        return " and ".join(parts) or "the classes are the same"


def columns_in_order(known: np.ndarray, before: Sequence[str], fresh: np.ndarray, now: Sequence[str]) -> np.ndarray:
    """Returns the weights of a last layer for other classes.

    A column depends on no other, so the logits of the classes that stay are what they were.

    Args:
        known: float32 [..., classes before].
        before: Names of its columns.
        fresh: float32 [..., classes now], what new columns begin with.
        now: Names of the columns wanted.

    Returns:
        float32 [..., classes now].
    """
    grown = np.array(fresh)
    for column, name in enumerate(now):
        if name in before:
            grown[..., column] = known[..., list(before).index(name)]
    return grown

"""Which examples stand for all where there are very many."""

from __future__ import annotations

import numpy as np


def at_most(rows: np.ndarray, most: int, seed: int | np.random.Generator = 0) -> np.ndarray:
    """Returns all rows, or so many drawn of more, each once and in their order.

    Args:
        rows: int [examples], ascending.
        most: How many may be left.
        seed: Draws them, as a number or as a generator that goes on.
    """
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))

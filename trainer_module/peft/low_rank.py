"""The mathematics of LoRA (Hu et al. 2021, section 4.1) on kernels of any shape. NumPy alone.

A kernel is read as a matrix, [rows, columns]: what it sums over, and what it gives. Its update is `scale * a @ b` in
that shape, with a of [rows, rank] and b of [rank, columns], so that a network with the update computes what the network
with the sum for a kernel does, whatever the layer makes of it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

# What the names of the variables of an update add to the name of their kernel.
A, B = FACTORS = ("_lora_a", "_lora_b")


def matrix_shape(shape: Sequence[int], summed: int) -> tuple[int, int]:
    """Returns the matrix that a kernel is read as.

    Args:
        shape: Of the kernel.
        summed: How many of its axes, from the first, are rows.
    """
    return math.prod(shape[:summed]), math.prod(shape[summed:])


def rank_of(matrix: tuple[int, int], rank: int) -> int:
    """Returns the rank of the update of a matrix: as wished, but none above the matrix' own."""
    return min(rank, *matrix)


def initial(matrix: tuple[int, int], rank: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factors that training begins with: a is random and b zero, so that the network is what it was.

    Args:
        matrix: Rows and columns of the kernel.
        rank: As `rank_of` gives it.
        seed: Of the training; each kernel draws from it by its name.

    Returns:
        a float32 [rows, rank], normal with the standard deviation 1 / sqrt(rows), and b float32 [rank, columns].
    """
    rows, columns = matrix
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    a = random.standard_normal((rows, rank), dtype=np.float32) / np.float32(math.sqrt(rows))
    return a, np.zeros((rank, columns), np.float32)


def merged(kernel: np.ndarray, a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
    """Returns the kernel with its update, of the same shape and type; one that adds nothing leaves every bit."""
    update = np.float32(scale) * (a @ b)
    return kernel + update.reshape(kernel.shape).astype(kernel.dtype) if update.any() else kernel

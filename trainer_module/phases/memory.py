"""What to do when a device runs out of memory. No TensorFlow here."""

from __future__ import annotations

import math


def smaller_parts(micro_batches: int, batch_size: int, replicas: int) -> int | None:
    """Halves the micro-batch, so that the gradients of twice as many add up to that of the same batch.

    Args:
        micro_batches: Parts that each replica's share of a batch is cut into now.
        batch_size: Examples a step, over all replicas together.
        replicas: How many there are.

    Returns:
        The new number of parts; None when a part is a single example already.
    """
    share = math.ceil(batch_size / replicas)
    return min(2 * micro_batches, share) if micro_batches < share else None

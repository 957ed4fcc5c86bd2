"""What to do when a device runs out of memory. No TensorFlow here."""

from __future__ import annotations

import math


def more_accumulation_steps(steps: int, batch_size: int, replicas: int) -> int | None:
    """Halves the parts that batches are computed in; the gradients of twice as many add up to that of the same batch.

    Args:
        steps: Parts that each replica's share of a batch is cut into now.
        batch_size: Examples a step, over all replicas together.

    Returns:
        The new number of parts; None when a part is a single example already.
    """
    share = math.ceil(batch_size / replicas)
    return min(2 * steps, share) if steps < share else None

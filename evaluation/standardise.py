"""Features of any backbone on one scale."""

from __future__ import annotations

import numpy as np


def standardised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brings each feature to mean 0 and deviation 1; one that never changes stays 0.

    Args:
        values: float32 [..., features].

    Returns:
        float32 of the same shape; and float64 [features], the mean and the divisor, 1 for one that never changes.
    """
    flat = values.reshape(-1, values.shape[-1])
    mean, deviation = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-6 * np.maximum(1.0, np.abs(mean)), deviation, np.inf)
    return ((values - mean) / scale).astype(np.float32), mean, np.where(np.isinf(scale), 1.0, scale)

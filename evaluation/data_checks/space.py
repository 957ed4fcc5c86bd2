"""The space in which examples are compared: the leading directions of their frozen features."""

from __future__ import annotations

import numpy as np

from evaluation.standardise import standardised

# The directions kept. A linear probe on frozen features finds most of what it can in as many.
MOST_DIRECTIONS = 64
# Fewer examples than this for each direction say little about it.
EXAMPLES_A_DIRECTION = 5


def leading_directions(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns the principal components of features, the largest variance first; it looks at no label and no split.

    Features are brought to mean 0 and deviation 1 first, one that never changes to 0. The decomposition is randomised
    (Halko, Martinsson and Tropp 2011): its time and memory grow with the number of examples, not with its square.

    Args:
        features: float [examples, features], at least two examples.
        seed: Of the decomposition.

    Returns:
        float32 [examples, directions], at most MOST_DIRECTIONS, those without variance left out; at least one.
    """
    from sklearn.utils.extmath import randomized_svd

    values, _, _ = standardised(np.asarray(features, np.float32))
    count = max(1, min(MOST_DIRECTIONS, values.shape[1], len(values) // EXAMPLES_A_DIRECTION))
    left, sizes, _ = randomized_svd(values, count, random_state=seed)
    kept = np.flatnonzero(sizes > 1e-4 * sizes[0]) if sizes[0] > 0 else np.array([0])
    return np.ascontiguousarray(left[:, kept] * sizes[kept], np.float32)

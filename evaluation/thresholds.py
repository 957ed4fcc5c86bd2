"""The threshold of each label from which on a multi-label model says it."""

from __future__ import annotations

import numpy as np

# Of a label that no example of the validation split has: nothing there says where its threshold should be.
UNKNOWN = 0.5


def best_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the threshold of each label that gives it the largest F1.

    A label is predicted where `probability >= threshold`. The candidates lie half way between two neighbouring
    probabilities, or between the lowest and 0. Of several that are equally good the one nearest to 0.5 is taken, and
    of two equally near the larger. Lipton, Elkan and Naryanaswamy 2014, "Optimal thresholding of classifiers to
    maximize F1 measure", say what to expect: where probabilities are calibrated, half of the F1 that is reached.

    Args:
        labels: bool or 0/1 [examples, labels], of the validation split; never of the test split.
        probabilities: float [examples, labels] in [0, 1].

    Returns:
        float32 [labels] in [0, 1]; 0.5 for a label that no example has.

    Raises:
        ValueError: Shapes differ, or a probability is outside [0, 1] or not a number.
    """
    actual, probabilities = np.asarray(labels, dtype=bool), np.asarray(probabilities, dtype=np.float32)
    if actual.ndim != 2 or actual.shape != probabilities.shape:
        raise ValueError(
            f"expected labels and probabilities of one shape [examples, labels], and got {actual.shape} and "
            f"{probabilities.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("expected probabilities in [0, 1]; look for a model whose loss became NaN")
    columns = zip(actual.T, probabilities.T, strict=True)
    return np.array([_best(of_label, shown) for of_label, shown in columns], dtype=np.float32)


def _best(actual: np.ndarray, probabilities: np.ndarray) -> np.float32:
    positives = int(actual.sum())
    if not positives:
        return np.float32(UNKNOWN)
    order = np.argsort(-probabilities, kind="stable")
    descending, hits = probabilities[order], np.cumsum(actual[order])
    # The last example of each group that shares a probability: a threshold cannot part them.
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    f1 = 2 * hits[last] / (last + 1 + positives)
    upper, lower = descending[last], np.append(descending[last[1:]], np.float32(0))
    middle = (upper + lower) / np.float32(2)
    # Between two neighbours among the float32 there is no place: the upper one itself is the threshold.
    middle = np.where(middle > lower, middle, upper)
    best = np.flatnonzero(f1 == f1.max())
    return middle[best[np.abs(middle[best] - np.float32(0.5)).argmin()]]

"""Metrics of a classifier, in NumPy: of the examples as they are, or of many weighted copies of them at once.

A row of weights says how often each example counts. A row of ones gives the metric itself; rows drawn at random give
its bootstrap replicates (see `evaluation.intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from evaluation.auc import auc

# Guo et al. 2017, "On calibration of modern neural networks", section 2.
CALIBRATION_BINS = 15
# As Keras: probabilities below do not make the loss infinite.
SMALLEST_PROBABILITY = 1e-7
LOWER_IS_BETTER = ("loss", "ece")


@dataclass(frozen=True)
class Predictions:
    """What one model said about some examples.

    Attributes:
        labels: int [examples], the column of each example's true class.
        probabilities: float [examples, classes], rows add up to 1.
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: np.ndarray) -> Predictions:
        return Predictions(self.labels[chosen], self.probabilities[chosen])

    @property
    def classes(self) -> int:
        """Number of columns."""
        return self.probabilities.shape[1]

    @cached_property
    def predicted(self) -> np.ndarray:
        """int [examples], the most probable class."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [examples]."""
        return self.predicted == self.labels

    @cached_property
    def confidence(self) -> np.ndarray:
        """float [examples], the probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @cached_property
    def losses(self) -> np.ndarray:
        """float [examples], the negative logarithm of the true class's probability; as Keras computes it."""
        clipped = np.clip(self.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        return np.log(clipped.sum(axis=1)) - np.log(clipped[np.arange(len(self)), self.labels])


def measure(metric: str, predictions: Predictions, of_class: int | None = None) -> float:
    """Returns a metric of all examples; NaN where it is undefined.

    Args:
        metric: `accuracy`, `loss`, `ece`, `auc`, `macro_f1`, `weighted_f1`, or with `of_class` `precision`, `recall` or
            `f1`.
        predictions: At least one example.
        of_class: Column of the class.
    """
    if metric == "auc":
        return auc(predictions.labels, predictions.probabilities).value
    return float(replicates(metric, predictions, np.ones((1, len(predictions))), of_class)[0])


def replicates(metric: str, predictions: Predictions, weights: np.ndarray, of_class: int | None = None) -> np.ndarray:
    """Returns a metric, other than `auc`, of weighted examples.

    Args:
        metric: As in `measure`.
        predictions: n examples.
        weights: [replicates, n], each row not all zero.
        of_class: Column of the class.

    Returns:
        float [replicates].
    """
    if metric == "accuracy":
        return weights @ predictions.correct / weights.sum(axis=1)
    if metric == "loss":
        return weights @ predictions.losses / weights.sum(axis=1)
    if metric == "ece":
        # Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning".
        return np.abs(calibration_gaps(predictions, weights)).sum(axis=1)
    counts = class_counts(predictions, weights)
    scores = class_scores(counts)
    if metric in scores:
        return scores[metric][:, of_class]
    if metric == "weighted_f1":
        return (scores["f1"] * counts["actual"]).sum(axis=1) / counts["actual"].sum(axis=1)
    if metric == "macro_f1":
        # As scikit-learn: classes that are neither there nor predicted have no say.
        seen = counts["actual"] + counts["predicted"] > 0
        return (scores["f1"] * seen).sum(axis=1) / seen.sum(axis=1)
    raise ValueError(f"metric: got {metric!r}, which is not a metric of predictions")


def class_counts(predictions: Predictions, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Returns `hits`, `actual` and `predicted`, each [replicates, classes]: weighted examples per class."""
    classes = predictions.classes
    return {
        "hits": _sums(weights, predictions.labels, classes, predictions.correct),
        "actual": _sums(weights, predictions.labels, classes),
        "predicted": _sums(weights, predictions.predicted, classes),
    }


def class_scores(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns `precision`, `recall` and `f1` in [0, 1] for counts of any shape; 0 where they would divide by 0."""
    hits, actual, predicted = counts["hits"], counts["actual"], counts["predicted"]
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, actual),
        "f1": _ratio(2 * hits, actual + predicted),
    }


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """The bins of a reliability diagram that hold examples, from unsure to sure.

    Returns:
        For each `low`, `high`, `examples`, `confidence` (mean probability of the predicted class) and `accuracy`.
    """
    bins = _bins(predictions.confidence)
    rows = []
    for number in range(CALIBRATION_BINS):
        members = bins == number
        if members.any():
            rows.append(
                {
                    "low": number / CALIBRATION_BINS,
                    "high": (number + 1) / CALIBRATION_BINS,
                    "examples": int(members.sum()),
                    "confidence": float(predictions.confidence[members].mean()),
                    "accuracy": float(predictions.correct[members].mean()),
                }
            )
    return rows


def calibration_gaps(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    """Accuracy minus confidence within each bin, times the bin's share of the examples: [replicates, bins]."""
    gaps = predictions.correct - predictions.confidence.astype(np.float64)
    within = _sums(weights, _bins(predictions.confidence), CALIBRATION_BINS, gaps)
    return within / weights.sum(axis=1, keepdims=True)


def _bins(confidence: np.ndarray) -> np.ndarray:
    """Bin m holds confidences in (m / bins, (m + 1) / bins]."""
    return np.clip(np.ceil(confidence.astype(np.float64) * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)


def _sums(weights: np.ndarray, groups: np.ndarray, count: int, values: np.ndarray | None = None) -> np.ndarray:
    """Sums weights (times values) within groups: [replicates, n] to [replicates, count]."""
    entries = np.ones(len(groups)) if values is None else values.astype(np.float64)
    members = sparse.csr_matrix((entries, (groups, np.arange(len(groups)))), shape=(count, len(groups)))
    return (members @ weights.T).T


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)

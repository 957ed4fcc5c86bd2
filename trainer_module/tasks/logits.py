"""Losses of logits and their slopes, in NumPy: what is fitted and calibrated without a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OfLogits:
    """What the numbers before the last activation say of examples."""

    losses: np.ndarray  # float64 [examples], as the task's `val_loss`.
    slopes: np.ndarray  # [examples, classes], how the loss of each example changes with each of its logits.
    probabilities: np.ndarray  # [examples, classes].
    hits: np.ndarray  # float64 [examples], as the task's `accuracy`.


def softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities of classes that exclude each other, and their logarithms: [examples, classes]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.exp(logarithms), logarithms


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns the probability of each label for itself: [examples, classes]."""
    return np.exp(-np.logaddexp(0.0, -logits))

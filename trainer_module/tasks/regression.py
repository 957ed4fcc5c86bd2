"""Logistic regression on features brought to mean 0 and deviation 1, with scikit-learn's default penalty."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 1000
# exp(-40) is no probability to speak of in float32.
NEVER = -40.0


def multinomial(values: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Fits one regression for all classes.

    Args:
        values: float [examples, features].
        labels: int [examples]; at least two different ones.
        classes: How many there are; one without an example is never predicted.

    Returns:
        Kernel float32 [features, classes] and offset float32 [classes] of a softmax layer on the features as they are.
    """
    scaler = StandardScaler().fit(values)
    regression = _fitted(scaler.transform(values), labels)
    weights, offsets = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        # One row then, for the second class; a softmax over it and zero is the same sigmoid.
        weights, offsets = np.vstack([np.zeros_like(weights), weights]), np.array([0.0, *offsets])
    kernel = np.zeros((values.shape[1], classes), dtype=np.float32)
    offset = np.full(classes, NEVER if len(regression.classes_) < classes else 0.0, dtype=np.float32)
    kernel[:, regression.classes_], offset[regression.classes_] = _unscaled(weights, offsets, scaler)
    return [kernel, offset]


def one_vs_rest(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Fits a regression for each label against the rest; one that is the same for all examples is always predicted so.

    Args:
        values: float [examples, features].
        labels: 0 or 1 [examples, labels].

    Returns:
        Kernel float32 [features, labels] and offset float32 [labels] of a sigmoid layer on the features as they are.
    """
    scaler = StandardScaler().fit(values)
    scaled = scaler.transform(values)
    weights = np.zeros((labels.shape[1], values.shape[1]))
    offsets = np.where(labels[0] > 0, -NEVER, NEVER).astype(np.float64)
    for column in np.flatnonzero((labels != labels[0]).any(axis=0)):
        regression = _fitted(scaled, labels[:, column] > 0)
        weights[column], offsets[column] = regression.coef_[0], regression.intercept_[0]
    return list(_unscaled(weights, offsets, scaler))


def _fitted(scaled: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        # Close to the optimum is good enough to compare with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(max_iter=MAX_ITERATIONS).fit(scaled, labels)


def _unscaled(weights: np.ndarray, offsets: np.ndarray, scaler: StandardScaler) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and offset on features as they are, from weights [classes, features] on scaled ones."""
    kernel = (weights / scaler.scale_).T.astype(np.float32)
    return kernel, (offsets - weights @ (scaler.mean_ / scaler.scale_)).astype(np.float32)

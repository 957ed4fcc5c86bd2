"""Scores of a model from its predictions. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from evaluation.predictions import by_column


def score(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Scores predicted classes against the true ones.

    Args:
        labels: int [examples], the place of each one's class in `classes`.
        predicted: int [examples], that of its predicted class.
        classes: The name of each class, in the order of the matrix.

    Returns:
        `accuracy` and `macro_f1` in [0, 1]; `classes`; `confusion`, counts by true class (row) and predicted class
        (column); `per_class`, with `class`, `precision`, `recall`, `f1` and `support`.
    """
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), zero_division=0.0
    )
    return {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "macro_f1": float(metrics.f1_score(labels, predicted, average="macro", zero_division=0.0)),
        "classes": list(classes),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=range(len(classes))).tolist(),
        "per_class": _per_class(classes, precision, recall, f1, support),
    }


def score_labels(actual: np.ndarray, said: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Scores which labels are said of each example.

    Args:
        actual: bool [examples, classes], the true ones.
        said: bool [examples, classes].
        classes: Name of each column.

    Returns:
        `micro_f1` and `macro_f1` in [0, 1]; `classes`; `per_class` as in `score`; `confusion`, counts of
        examples that a class is missed of (row) and another one is wrongly said of (column); those where both have the
        class are on the diagonal.
    """
    precision, recall, f1, support = metrics.precision_recall_fscore_support(actual, said, zero_division=0.0)
    confusion = (by_column(actual & ~said) @ by_column(said & ~actual).T).toarray().astype(int)
    np.fill_diagonal(confusion, (actual & said).sum(axis=0))
    return {
        "micro_f1": float(metrics.f1_score(actual, said, average="micro", zero_division=0.0)),
        "macro_f1": float(metrics.f1_score(actual, said, average="macro", zero_division=0.0)),
        "classes": list(classes),
        "confusion": confusion.tolist(),
        "per_class": _per_class(classes, precision, recall, f1, support),
    }


def _per_class(classes: Sequence[str], *columns: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "class": name,
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    ]


def choose_samples(correct: Sequence[bool], confidence: Sequence[float], wanted: int) -> list[int]:
    """Picks examples to show: the most confident mistakes first, then correct ones over the whole range of confidence.

    Args:
        correct: Whether each example was classified correctly.
        confidence: Probability of the predicted class of each.
        wanted: How many to pick, half of them mistakes where there are that many.

    Returns:
        Indices of examples, mistakes first.
    """
    order = np.argsort(-np.asarray(confidence), kind="stable")
    is_correct = np.asarray(correct, dtype=bool)[order]
    mistakes, hits = order[~is_correct], order[is_correct]
    mistakes = mistakes[: max(wanted // 2, wanted - len(hits))]
    spread = np.linspace(0, len(hits) - 1, min(wanted - len(mistakes), len(hits))).round().astype(int)
    return [int(i) for i in (*mistakes, *hits[spread])]

"""Precision, recall, specificity and F1 of one class, and F1 over classes, weighed in three ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, Share
from evaluation.metrics.metric import Metric
from evaluation.metrics.references import Answered, Reference
from evaluation.predictions import MULTI_LABEL, MultiLabel, Predictions, ratio


def _macro(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    # As scikit-learn: classes that are neither there nor said have no say.
    seen = counts.actual + counts.said > 0
    return ratio((counts.f1 * seen).sum(axis=1), seen.sum(axis=1).astype(np.float64))


def _weighted(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    return ratio((counts.f1 * counts.actual).sum(axis=1), counts.actual.sum(axis=1))


def _micro(predictions: MultiLabel, weights: np.ndarray) -> np.ndarray:
    counts = predictions.counts(weights)
    return ratio(2 * counts.hits.sum(axis=1), counts.actual.sum(axis=1) + counts.said.sum(axis=1))


def _confusion_by_sklearn(answered: Answered) -> np.ndarray:
    """Of each class [actual, said]: int [classes, 2, 2]."""
    from sklearn.metrics import multilabel_confusion_matrix

    return multilabel_confusion_matrix(answered.actual, answered.said)


def _f1_by_sklearn(confusion: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score([0, 0, 1, 1], [0, 1, 0, 1], sample_weight=confusion.ravel(), zero_division=0.0))


def _mean_f1(weights: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], float]:
    """The mean over classes; `weights` takes what was counted of each, and gives how much each counts."""

    def value(confusion: np.ndarray) -> float:
        of_classes = weights(confusion)
        if not of_classes.any():
            return 0.0
        return float(np.average([_f1_by_sklearn(one) for one in confusion], weights=of_classes))

    return value


def _is_seen(confusion: np.ndarray) -> np.ndarray:
    return confusion.sum(axis=(1, 2)) > confusion[:, 0, 0]


def _examples(confusion: np.ndarray) -> np.ndarray:
    return confusion[:, 1].sum(axis=1)


def _actual(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.actual[:, of_class]


def _said(predictions: Predictions, of_class: int) -> np.ndarray:
    return predictions.said[:, of_class]


def _specificity(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    counts = predictions.counts(weights, columns)
    others = weights.sum(axis=1, keepdims=True) - counts.actual
    unsaid = others - (counts.said - counts.hits)
    return np.divide(unsaid, others, out=np.full_like(unsaid, np.nan), where=others > 0)


MACRO_F1 = Metric(
    name="macro_f1",
    label="macro F1",
    meaning="mean of F1 over the classes that are there or are said, each the same; scikit-learn's `f1_score`",
    higher_is_better=True,
    overall=_macro,
    interval=Bootstrap(),
    reference=Reference(_confusion_by_sklearn, _mean_f1(_is_seen)),
)
WEIGHTED_F1 = Metric(
    name="weighted_f1",
    label="weighted F1",
    meaning="mean of F1 over classes, each by its examples; scikit-learn's `f1_score`",
    higher_is_better=True,
    overall=_weighted,
    interval=Bootstrap(),
    reference=Reference(_confusion_by_sklearn, _mean_f1(_examples)),
)
MICRO_F1 = Metric(
    name="micro_f1",
    label="micro F1",
    meaning="F1 of all decisions together, whatever their label; scikit-learn's `f1_score`",
    higher_is_better=True,
    tasks=(MULTI_LABEL,),
    overall=_micro,
    interval=Bootstrap(),
    reference=Reference(_confusion_by_sklearn, lambda confusion: _f1_by_sklearn(confusion.sum(axis=0))),
)
PRECISION = Metric(
    name="precision",
    label="precision",
    meaning="share of what is said to be of the class that is; 0 where nothing is",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).precision,
    interval=Share(hits=_actual, judged=_said),
)
RECALL = Metric(
    name="recall",
    label="recall",
    meaning="share of the class's examples that are said to be of it; 0 where there are none",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).recall,
    interval=Share(hits=_said, judged=_actual),
)
SPECIFICITY = Metric(
    name="specificity",
    label="specificity",
    meaning="share of the examples that are not of the class that are not said to be of it; one minus the false alarms",
    higher_is_better=True,
    per_class=_specificity,
    interval=Share(
        hits=lambda predictions, of_class: ~_said(predictions, of_class),
        judged=lambda predictions, of_class: ~_actual(predictions, of_class),
    ),
    undefined="where all examples have the class",
)
F1 = Metric(
    name="f1",
    label="F1",
    meaning="harmonic mean of precision and recall; 0 where the class is neither there nor said",
    higher_is_better=True,
    per_class=lambda predictions, weights, columns: predictions.counts(weights, columns).f1,
    interval=Bootstrap(),
)

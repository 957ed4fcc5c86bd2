"""Area under the ROC curve, each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.metrics.interval_methods import DeLong
from evaluation.metrics.metric import Metric
from evaluation.metrics.ranking import mean_of_defined, tied_groups
from evaluation.predictions import Predictions


def _overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return mean_of_defined(_per_class(predictions, weights, range(predictions.classes)))


def _per_class(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """The share of pairs of a positive and a negative that are in order; ties count half."""
    found = []
    for column in columns:
        positives, negatives = tied_groups(predictions.actual[:, column], predictions.probabilities[:, column], weights)
        above = np.cumsum(positives, axis=1) - positives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        found.append(
            np.divide((negatives * above).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        )
    return np.stack(found, axis=1)


def influence(predictions: Predictions, of_class: int | None) -> np.ndarray:
    """How much each example moves the value: float [examples], of mean 0.

    These are the structural components of DeLong, DeLong and Clarke-Pearson 1988: of a positive example, the share of
    negatives that it outranks; of a negative one, the share of positives above it. Over all classes, their mean.
    """
    total, found = len(predictions), []
    for column in range(predictions.classes) if of_class is None else [of_class]:
        positive, scores = predictions.actual[:, column], predictions.probabilities[:, column]
        positives = int(positive.sum())
        negatives = total - positives
        if not positives or not negatives:
            continue
        placement = np.empty(total)
        placement[positive] = _share_below(scores[positive], scores[~positive])
        placement[~positive] = 1 - _share_below(scores[~positive], scores[positive])
        share = np.where(positive, positives / total, negatives / total)
        found.append((placement - placement[positive].mean()) / share)
    return np.mean(found, axis=0) if found else np.zeros(total)


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(others))


def _by_sklearn(predictions: Predictions) -> float:
    from sklearn.metrics import roc_auc_score

    columns = zip(predictions.actual.T, predictions.probabilities.T, strict=True)
    found = [roc_auc_score(actual, scores) for actual, scores in columns if actual.any() and not actual.all()]
    return float(np.mean(found)) if found else float("nan")


AUC = Metric(
    name="auc",
    label="AUC",
    meaning="mean over classes of the area under the ROC curve, one against the rest; scikit-learn's "
    '`roc_auc_score(multi_class="ovr", average="macro")`. With `of_class`, that class\'s own',
    higher_is_better=True,
    overall=_overall,
    per_class=_per_class,
    interval=DeLong(influence),
    undefined="where all examples have the same label",
    reference=_by_sklearn,
)

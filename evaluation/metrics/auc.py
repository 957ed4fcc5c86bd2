"""Area under the ROC curve, one class against the rest, with each example's influence on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class Auc:
    """Mean AUC over the classes that are there and are not all there is.

    Attributes:
        value: In [0, 1]; NaN when there is no such class.
        influence: float [examples], how much each example moves the value; their mean is 0, and the variance of the
            value is the sum of their squares over the squared number of examples.
    """

    value: float
    influence: np.ndarray


def auc(labels: np.ndarray, probabilities: np.ndarray) -> Auc:
    """Mean one-against-rest AUC, as scikit-learn's `roc_auc_score(multi_class="ovr", average="macro")`.

    The influences are the structural components of DeLong, DeLong and Clarke-Pearson 1988, averaged over classes: of a
    positive example, the share of negatives that it outranks; of a negative one, the share of positives above it.

    Args:
        labels: int [examples].
        probabilities: float [examples, classes].
    """
    total = len(labels)
    values, influence = [], np.zeros(total)
    for column in np.unique(labels):
        positive = labels == column
        positives = int(positive.sum())
        negatives = total - positives
        if not negatives:
            continue
        scores = probabilities[:, column]
        ranks = rankdata(scores)
        placement = np.empty(total)
        placement[positive] = (ranks[positive] - rankdata(scores[positive])) / negatives
        placement[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / positives
        value = placement[positive].mean()
        values.append(value)
        share = np.where(positive, positives / total, negatives / total)
        influence += (placement - value) / share
    if not values:
        return Auc(float("nan"), influence)
    return Auc(float(np.mean(values)), influence / len(values))

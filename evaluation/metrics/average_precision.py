"""Average precision: the area under the curve of precision over recall, each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.metrics.ranking import mean_of_defined
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, Predictions, ratio


def _overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return mean_of_defined(_per_class(predictions, weights, range(predictions.classes)))


def _per_class(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    # An example a row, so that replicates lie side by side: what is summed over examples is then summed many at once.
    by_example = np.ascontiguousarray(weights.T)
    columns_of = zip(predictions.actual[:, columns].T, predictions.probabilities[:, columns].T, strict=True)
    return np.stack([_of_class(actual, scores, by_example) for actual, scores in columns_of], axis=1)


def _of_class(actual: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum over scores of the recall that is gained there times the precision that is left there.

    Args:
        actual: bool [examples].
        scores: float [examples].
        weights: float [examples, replicates].

    Returns:
        float [replicates], NaN where no example counts that has the class.
    """
    order = np.argsort(-scores, kind="stable")
    descending, positive = scores[order], actual[order]
    last = np.append(np.flatnonzero(descending[1:] != descending[:-1]), len(scores) - 1)
    # Recall is gained at the scores of positives alone; whatever lies between two of them is summed at once.
    places = np.flatnonzero(positive)
    ends = np.unique(last[np.searchsorted(last, places)])
    if not len(ends):
        return np.full(weights.shape[1], np.nan)
    starts = np.append(0, ends[:-1] + 1)
    gained = np.add.reduceat(weights[order[places]], np.searchsorted(places, starts), axis=0)
    found = np.cumsum(np.add.reduceat(weights[order[: ends[-1] + 1]], starts, axis=0), axis=0)
    hits = np.cumsum(gained, axis=0)
    total = hits[-1]
    reached = (gained * ratio(hits, found)).sum(axis=0)
    return np.divide(reached, total, out=np.full(len(total), np.nan), where=total > 0)


def _by_sklearn(predictions: Predictions) -> float:
    from sklearn.metrics import average_precision_score

    columns = zip(predictions.actual.T, predictions.probabilities.T, strict=True)
    found = [average_precision_score(actual, scores) for actual, scores in columns if actual.any()]
    return float(np.mean(found)) if found else float("nan")


# Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves", section 4: between two points of
# that curve, a straight line would claim too much; steps do not.
PR_AUC = Metric(
    name="pr_auc",
    label="PR-AUC",
    meaning="mean over classes of the area under the precision-recall curve, one against the rest, by steps and not "
    'by straight lines (Davis and Goadrich 2006); scikit-learn\'s `average_precision_score(average="macro")`. With '
    "`of_class`, that class's own",
    higher_is_better=True,
    tasks=(SINGLE_LABEL,),
    overall=_overall,
    per_class=_per_class,
    interval=Bootstrap(),
    undefined="where no example has the label",
    reference=_by_sklearn,
    slow=True,
)
MEAN_AVERAGE_PRECISION = replace(
    PR_AUC,
    name="mean_average_precision",
    label="mean average precision",
    meaning="the same as `pr_auc`, under the name it has where examples have several labels",
    tasks=(MULTI_LABEL,),
)

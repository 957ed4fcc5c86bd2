"""Average precision: the area under the curve of precision over recall, each class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.metrics.ranking import mean_of_defined, tied_groups
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, Predictions, ratio


def _overall(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return mean_of_defined(_per_class(predictions, weights, range(predictions.classes)))


def _per_class(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Sum over scores of the recall that is gained there times the precision that is left there."""
    found = []
    for column in columns:
        positives, negatives = tied_groups(predictions.actual[:, column], predictions.probabilities[:, column], weights)
        hits = np.cumsum(positives, axis=1)
        precision = ratio(hits, hits + np.cumsum(negatives, axis=1))
        total = hits[:, -1]
        found.append(
            np.divide((positives * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
        )
    return np.stack(found, axis=1)


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

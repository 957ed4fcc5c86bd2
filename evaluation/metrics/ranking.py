"""How well the scores of a class rank its examples above the rest: areas under ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, DeLong
from evaluation.metrics.metric import Metric, mean_over_classes
from evaluation.metrics.references import mean_of_classes
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, Predictions, ratio


def _areas(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """The share of pairs of a positive and a negative that are in order; ties count half."""
    columns_of = zip(predictions.actual[:, columns].T, predictions.probabilities[:, columns].T, strict=True)
    return np.stack([_area(actual, scores, weights) for actual, scores in columns_of], axis=1)


def _area(actual: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(-scores, kind="stable")
    # Examples of the same score are in a group, the largest score first.
    starts = np.flatnonzero(np.append(True, scores[order][1:] != scores[order][:-1]))
    positives = np.add.reduceat(weights[:, order] * actual[order], starts, axis=1)
    negatives = np.add.reduceat(weights[:, order], starts, axis=1) - positives
    above = np.cumsum(positives, axis=1) - positives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.divide((negatives * above).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _influence(predictions: Predictions, of_class: int | None) -> np.ndarray:
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


def _area_by_sklearn(*arguments: np.ndarray, **options: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*arguments, **options))


AUC = Metric(
    name="auc",
    label="AUC",
    meaning="mean over classes of the area under the ROC curve, one against the rest; scikit-learn's "
    '`roc_auc_score(multi_class="ovr", average="macro")`. With `of_class`, that class\'s own',
    higher_is_better=True,
    overall=mean_over_classes(_areas),
    per_class=_areas,
    interval=DeLong(_influence),
    undefined="where all examples have the same label",
    reference=mean_of_classes(_area_by_sklearn, needs_both=True),
)


def _average_precisions(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    # An example a row, so that replicates lie side by side: what is summed over examples is then summed many at once.
    by_example = np.ascontiguousarray(weights.T)
    columns_of = zip(predictions.actual[:, columns].T, predictions.probabilities[:, columns].T, strict=True)
    return np.stack([_average_precision(actual, scores, by_example) for actual, scores in columns_of], axis=1)


def at_positives(actual: np.ndarray, scores: np.ndarray, by_example: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted examples down to each score that a positive has, the largest first: no other threshold finds more.

    Args:
        actual: bool [examples], which are positive.
        scores: float [examples].
        by_example: Weights, float [examples, replicates].

    Returns:
        The positives at each of these scores, and all examples from it upwards: two float [scores, replicates].
    """
    order = np.argsort(-scores, kind="stable")
    descending, positive = scores[order], actual[order]
    last = np.append(np.flatnonzero(descending[1:] != descending[:-1]), len(scores) - 1)
    # Recall is gained at the scores of positives alone; whatever lies between two of them is summed at once.
    places = np.flatnonzero(positive)
    ends = np.unique(last[np.searchsorted(last, places)])
    if not len(ends):
        return (np.zeros((0, by_example.shape[1])),) * 2
    starts = np.append(0, ends[:-1] + 1)
    gained = np.add.reduceat(by_example[order[places]], np.searchsorted(places, starts), axis=0)
    return gained, np.cumsum(np.add.reduceat(by_example[order[: ends[-1] + 1]], starts, axis=0), axis=0)


def _average_precision(actual: np.ndarray, scores: np.ndarray, by_example: np.ndarray) -> np.ndarray:
    """Sum over scores of the recall that is gained there times the precision that is left there.

    Args are those of `at_positives`.

    Returns:
        float [replicates], NaN where no example counts that has the class.
    """
    gained, found = at_positives(actual, scores, by_example)
    hits = np.cumsum(gained, axis=0)
    total = gained.sum(axis=0)
    reached = (gained * ratio(hits, found)).sum(axis=0)
    return np.divide(reached, total, out=np.full(len(total), np.nan), where=total > 0)


def _average_precision_by_sklearn(*arguments: np.ndarray, **options: np.ndarray) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*arguments, **options))


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
    overall=mean_over_classes(_average_precisions),
    per_class=_average_precisions,
    interval=Bootstrap(),
    undefined="where no example has the label",
    reference=mean_of_classes(_average_precision_by_sklearn, needs_both=False),
    slow=True,
)
MEAN_AVERAGE_PRECISION = replace(
    PR_AUC,
    name="mean_average_precision",
    label="mean average precision",
    meaning="the same as `pr_auc`, under the name it has where examples have several labels",
    tasks=(MULTI_LABEL,),
)

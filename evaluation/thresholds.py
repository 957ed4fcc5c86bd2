"""From which probability on a model says a label: of several labels that of each, of two classes that of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.metrics.cost import cost_matrix
from finetune.config.evaluation import ThresholdConfig
from finetune.errors import DataError, did_you_mean

# Of a label that no example of the validation split has: nothing there says where its threshold should be.
UNKNOWN = 0.5
# 19 of 20 are 95 %, whatever binary arithmetic makes of it.
_ROUNDING = 1e-9


def best_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the threshold of each label that gives it the largest F1.

    A label is predicted where `probability >= threshold`. The candidates lie half way between two neighbouring
    probabilities, or between the lowest and 0. Of several that are equally good the one nearest to 0.5 is taken, and
    of two equally near the larger. Lipton, Elkan and Naryanaswamy 2014, "Optimal thresholding of classifiers to
    maximize F1 measure", say what to expect: where probabilities are calibrated, half of the F1 that is reached.

    Args:
        labels: bool or 0/1 [examples, labels], of the validation split; never of the test split.
        probabilities: float [examples, labels] in [0, 1].

    Returns:
        float32 [labels] in [0, 1]; 0.5 for a label that no example has.

    Raises:
        ValueError: Shapes differ, or a probability is outside [0, 1] or not a number.
    """
    actual, probabilities = np.asarray(labels, dtype=bool), np.asarray(probabilities, dtype=np.float32)
    if actual.ndim != 2 or actual.shape != probabilities.shape:
        raise ValueError(
            f"expected labels and probabilities of one shape [examples, labels], and got {actual.shape} and "
            f"{probabilities.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("expected probabilities in [0, 1]; look for a model whose loss became NaN")
    columns = zip(actual.T, probabilities.T, strict=True)
    return np.array([_best(of_label, shown) for of_label, shown in columns], dtype=np.float32)


def check_threshold(
    wanted: ThresholdConfig, costs: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> np.ndarray:
    """Refuses a threshold that these classes cannot have.

    Returns:
        What mistakes cost, as `cost_matrix` does.

    Raises:
        DataError: There are not two classes, or none of a name that threshold or costs give.
    """
    if wanted.of_class not in names:
        raise DataError(
            f"evaluation.threshold.of_class: got {wanted.of_class!r}; the classes are {', '.join(names)}."
            + did_you_mean(wanted.of_class, names)
        )
    if len(names) != 2:
        raise DataError(
            f"evaluation.threshold: got data of {len(names)} classes, {', '.join(names)}; expected two. Leave it out, "
            f"or make one class of all that are not {wanted.of_class}."
        )
    return cost_matrix(costs, names)


def two_class_decision(
    wanted: ThresholdConfig,
    costs: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> dict[str, Any]:
    """Chooses how a model of two classes decides.

    The class that is looked for is said where its probability reaches a threshold, and the other one below. Candidates
    lie as in `best_thresholds`, and above all probabilities. Of those that are equally good, one that holds a
    specificity or sensitivity exceeds it by most, and any other is the nearest to 0.5.

    Args:
        wanted: What is to be best.
        costs: As `evaluation.costs`.
        names: Of the two columns.
        labels: int [examples], of the validation split; never of the test split.
        probabilities: float [examples, 2] in [0, 1].

    Returns:
        `threshold_of`, the class that is looked for, and `thresholds`, float [2], by column: from which probability on
        each of them is said.

    Raises:
        DataError: As `check_threshold`, or there are no examples of one of the classes.
    """
    matrix = check_threshold(wanted, costs, names)
    column = list(names).index(wanted.of_class)
    actual, shown = labels == column, probabilities[:, column].astype(np.float32)
    positives, negatives = int(actual.sum()), int((~actual).sum())
    if not positives or not negatives:
        absent = wanted.of_class if not positives else names[1 - column]
        raise DataError(
            f"evaluation.threshold: the validation split has no {absent}, and so no threshold is better than another. "
            "Add some, or give val a larger share in data.splits."
        )
    thresholds, hits, said = _candidates(actual, shown)
    highest = max(np.float32(1), shown.max())
    above = (highest + shown.max()) / np.float32(2)
    above = above if above > shown.max() else np.nextafter(highest, np.float32(2))
    thresholds, hits, said = np.append(above, thresholds), np.append(0, hits), np.append(0, said)
    alarms = said - hits
    sensitivity, specificity = hits / positives, 1 - alarms / negatives
    if wanted.at is not None:
        reached, held = sensitivity, specificity
        if wanted.metric == "specificity_at_sensitivity":
            reached, held = specificity, sensitivity
        worth = np.where(held >= wanted.at - _ROUNDING, reached, -1.0)
        best = np.flatnonzero(worth == worth.max())
        chosen = best[held[best].argmax()]
    else:
        spent = (positives - hits) * matrix[column, 1 - column] + alarms * matrix[1 - column, column]
        worth = 2 * hits / (said + positives) if wanted.metric == "f1" else -spent
        best = np.flatnonzero(worth == worth.max())
        chosen = best[np.abs(thresholds[best] - np.float32(0.5)).argmin()]
    threshold = float(thresholds[chosen])
    both = [1 - threshold, 1 - threshold]
    both[column] = threshold
    return {"threshold_of": wanted.of_class, "thresholds": both}


def _best(actual: np.ndarray, probabilities: np.ndarray) -> np.float32:
    positives = int(actual.sum())
    if not positives:
        return np.float32(UNKNOWN)
    thresholds, hits, said = _candidates(actual, probabilities)
    f1 = 2 * hits / (said + positives)
    best = np.flatnonzero(f1 == f1.max())
    return thresholds[best[np.abs(thresholds[best] - np.float32(0.5)).argmin()]]


def _candidates(actual: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, float32, from the highest on; how many examples that have the label reach each, and how many in all.

    Args:
        actual: bool [examples].
        probabilities: float32 [examples].
    """
    order = np.argsort(-probabilities, kind="stable")
    descending, hits = probabilities[order], np.cumsum(actual[order])
    # The last example of each group that shares a probability: a threshold cannot part them.
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    upper, lower = descending[last], np.append(descending[last[1:]], np.float32(0))
    middle = (upper + lower) / np.float32(2)
    # Between two neighbours among the float32 there is no place: the upper one itself is the threshold.
    return np.where(middle > lower, middle, upper), hits[last], last + 1

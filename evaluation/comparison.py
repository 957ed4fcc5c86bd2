"""Two models of different runs, held against each other on the test examples that both runs have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from evaluation.evidence import CANDIDATE, TestSet, change_interval
from evaluation.metrics import metrics_of
from evaluation.metrics.cost import cost_matrix
from evaluation.metrics.metric import Metric, Pair
from evaluation.predictions import Predictions
from evaluation.tasks import TASKS
from evaluation.verdict import CONFIDENCE, is_quick
from finetune.artifacts.findings import Interval
from finetune.artifacts.run_comparison import ComparedAnswers, ComparedMetric
from transforms.features import GROUP


def compare_answers(
    first: TestSet, second: TestSet, costs: Mapping[str, Mapping[str, float]] | None = None
) -> ComparedAnswers:
    """Compares the candidates of two runs, both by the labels that the second run has.

    Examples are the same where their bytes are. Content that a test split has several times is matched as often as
    both have it.

    Args:
        first, second: Of the same task, with digests.
        costs: As `evaluation.costs`; where it names a class that neither run has, costs are not measured.
    """
    places, others = _common(first.digests, second.digests)
    examples = len(places)
    unmatched = {"only_first": len(first.labels) - examples, "only_second": len(second.labels) - examples}
    if not examples:
        return ComparedAnswers(examples=0, relabelled=0, **unmatched)
    first, second = first.part(places), second.part(others)
    classes = sorted({*first.classes, *second.classes})
    actual = _actual(second, classes)
    pair = _predictions(second, classes, second), _predictions(first, classes, second)
    if GROUP in second.columns:
        pair = pair[0].of_groups(second.columns[GROUP]), pair[1].of_groups(second.columns[GROUP])
    named = {*(costs or {}), *(said for of_said in (costs or {}).values() for said in of_said)}
    if costs and named <= {*classes}:
        matrix = cost_matrix(costs, classes)
        pair = pair[0].at_costs(matrix), pair[1].at_costs(matrix)
    right_now, right_then = pair[0].correct, pair[1].correct
    overall = [metric for metric in metrics_of(second.task).values() if metric.overall]
    return ComparedAnswers(
        examples=examples,
        relabelled=int((actual != _actual(first, classes)).any(axis=1).sum()),
        both_right=int((right_then & right_now).sum()),
        first_right=int((right_then & ~right_now).sum()),
        second_right=int((~right_then & right_now).sum()),
        neither_right=int((~right_then & ~right_now).sum()),
        metrics=[found for metric in overall if (found := _compared(metric, pair))],
        **unmatched,
    )


def _common(first: np.ndarray | None, second: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of the same examples in both, in the order of the second."""
    assert first is not None, "a test set without digests cannot be matched"
    assert second is not None, "a test set without digests cannot be matched"
    places = {key: place for place, key in enumerate(_numbered(first))}
    pairs = [(places[key], place) for place, key in enumerate(_numbered(second)) if key in places]
    matched = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]


def _numbered(digests: np.ndarray) -> list[tuple[bytes, int]]:
    """Returns each digest with how often it has come before."""
    seen: Counter[bytes] = Counter()
    keys = []
    for digest in digests.tolist():
        keys.append((digest, seen[digest]))
        seen[digest] += 1
    return keys


def _actual(test_set: TestSet, classes: Sequence[str]) -> np.ndarray:
    """bool [examples, classes], which each example has."""
    return _in_columns(test_set.of(CANDIDATE).actual, test_set.classes, classes)


def _predictions(test_set: TestSet, classes: Sequence[str], truth: TestSet) -> Predictions:
    """Returns what the candidate of one test set says of the examples of another, in the order of classes."""
    said, found = test_set.said.get(CANDIDATE), test_set.found.get(CANDIDATE)
    task = TASKS[test_set.task]
    return task.predictions(
        _labels(truth, classes),
        _in_columns(test_set.probabilities[CANDIDATE], test_set.classes, classes),
        None if said is None else _in_columns(said, test_set.classes, classes),
        None if found is None else task.in_columns(found, test_set.classes, classes),
    )


def _labels(test_set: TestSet, classes: Sequence[str]) -> np.ndarray:
    if test_set.labels.ndim == 3:
        return TASKS[test_set.task].in_columns(test_set.labels, test_set.classes, classes)
    actual = _actual(test_set, classes)
    # Of one label each, the labels are its column.
    return actual if test_set.labels.ndim > 1 else actual.argmax(axis=1)


def _in_columns(rows: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Returns rows [examples, len(names)] in the order of classes, all of `names` among them; others are 0."""
    found = np.zeros((len(rows), len(classes)), dtype=rows.dtype)
    found[:, [classes.index(name) for name in names]] = rows
    return found


def _compared(metric: Metric, pair: Pair) -> ComparedMetric | None:
    """Measures both; None where the metric is undefined of one of them."""
    second, first = (metric.value(model) for model in pair)
    if not np.isfinite([first, second]).all():
        return None
    change = change_interval(metric, pair, "difference", CONFIDENCE) if is_quick(metric, pair[0]) else None
    return ComparedMetric(name=metric.name, first=first, second=second, change=change, better=_better(metric, change))


def _better(metric: Metric, change: Interval | None) -> Literal["first", "second"] | None:
    if change is None or change.low <= 0 <= change.high or not np.isfinite([change.low, change.high]).all():
        return None
    return "second" if (change.low > 0) == metric.higher_is_better else "first"

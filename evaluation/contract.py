"""What every entry of the tables on this floor must do; a suite for whoever adds one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from evaluation.detection import Detection, Matches
from evaluation.metrics.metric import IntervalMethod, Metric
from evaluation.metrics.references import Answered
from evaluation.predictions import (
    DETECTION,
    MULTI_LABEL,
    SEGMENTATION,
    SINGLE_LABEL,
    MultiLabel,
    Predictions,
    SingleLabel,
)
from evaluation.retrieval import NO_RANK
from evaluation.segmentation import Segmentation
from finetune.artifacts.findings import Interval

_EXAMPLES, _CLASSES = 90, 7
_CLOSE = 1e-9


def check_metric(metric: Metric) -> None:
    """Raises AssertionError with a sentence where a metric breaks what gates, intervals and report rely on.

    On made-up predictions of each of its tasks it sees that the value is that of a row of ones, and depends neither on
    the scale of weights nor on the order of examples; that a weight of two is an example given twice; that values are
    within the bounds, that a perfect model is better than chance, and that what is undefined is NaN and nothing else;
    that intervals hold their value, repeat, and grow with the confidence; and that the reference gives the same
    value, of all examples at once and of parts of them.
    """
    try:
        _check(metric)
    except AssertionError as broken:
        raise AssertionError(f"{metric.name}: {broken}") from None


def _check(metric: Metric) -> None:
    assert metric.name.isidentifier(), "expected a name in lower case, as in a config"
    assert metric.name.islower(), "expected a name in lower case, as in a config"
    assert metric.label, "expected a label, for report and docs"
    assert metric.meaning, "expected a meaning, for report and docs"
    assert metric.bounds[0] < metric.bounds[1], f"expected the lower bound first, and got {metric.bounds}"
    if metric.of_model:
        assert metric.interval is None, "is a fact about the model, whose interval is made where it is measured"
        return
    assert metric.tasks, "expected at least one task"
    assert metric.interval is not None, "expected an interval method; Bootstrap() fits whatever has no formula"
    assert not (metric.tfma and metric.reference), "expected TFMA's own metric or a reference, not both"
    for task in metric.tasks:
        assert task in _MADE_UP, f"is for task {task!r}; there are {', '.join(_MADE_UP)}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for columns in _columns(metric):
                _check_values(metric, _MADE_UP[task], columns)
                _check_intervals(metric, metric.interval, _MADE_UP[task], columns)
            _check_reference(metric, _MADE_UP[task])


def _check_values(metric: Metric, made_up: MadeUp, columns: list[int] | None) -> None:
    found = made_up(1.0, 1)
    random = np.random.default_rng(0)
    ones, order = np.ones((1, _EXAMPLES)), random.permutation(_EXAMPLES)
    weights = random.integers(0, 4, (3, _EXAMPLES)).astype(np.float64)

    def of(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
        values = metric.replicates(predictions, weights, columns)
        shape = len(weights), 1 if columns is None else len(columns)
        assert values.shape == shape, f"expected an array {shape}, and got {values.shape}"
        assert not np.isinf(values).any(), "is infinite; expected NaN where it is undefined"
        low, high = metric.bounds
        outside = (values < low - _CLOSE) | (values > high + _CLOSE)
        assert not outside.any(), f"left its bounds {metric.bounds}: {values[outside][:3]}"
        return values

    value = of(found, ones)
    assert np.isfinite(value).all(), f"is not a number on {_EXAMPLES} examples of {_CLASSES} classes"
    single = metric.value(found, None if columns is None else columns[0])
    assert _near(single, value[0, 0]), "is not the value of a row of ones"
    assert _near(of(found, 3.7 * weights), of(found, weights)), "depends on the scale of the weights"
    assert _near(of(found[order], ones), value), "depends on the order of the examples"
    for row in weights:
        repeated = found[np.repeat(np.arange(_EXAMPLES), row.astype(int))]
        twice = of(repeated, np.ones((1, len(repeated))))
        same = _near(twice, of(found, row[np.newaxis]))
        assert same, "takes a weight of two for something else than two examples"
    chance, perfect = of(made_up(0.0, 2), ones), of(made_up(math.inf, 2), ones)
    ordered = all(not metric.better(poor, good) for poor, good in zip(chance[0], perfect[0], strict=True))
    better = ordered and not _near(chance, perfect)
    assert better, "does not put a perfect model above chance: see higher_is_better"
    for few in (found[:1], found[found.actual[:, 0]], found[~found.actual[:, 0]]):
        of(few, np.ones((1, len(few))))


def _check_intervals(metric: Metric, method: IntervalMethod, made_up: MadeUp, columns: list[int] | None) -> None:
    found, other = made_up(1.0, 1), made_up(1.5, 1)
    for place, column in enumerate(columns or [None]):
        narrow, again, wide = (method.values(metric, found, level, columns)[place] for level in (0.8, 0.8, 0.99))
        value = metric.value(found, column)
        assert _holds(narrow, value), f"has an interval {narrow} without its value {value}"
        assert narrow == again, "has an interval that changes"
        grows = wide.high - wide.low > narrow.high - narrow.low
        assert grows, "has an interval that does not grow with confidence"
        for compare in ("difference", "ratio"):
            one, two = metric.value(other, column), value
            change = one - two if compare == "difference" else one / two if two else None
            if change is not None:
                interval = method.change(metric, (other, found), compare, 0.9, column)
                assert _holds(interval, change), f"has an interval {interval} without its {compare} {change}"


def _check_reference(metric: Metric, made_up: MadeUp) -> None:
    if metric.reference is None:
        return
    reference = metric.reference
    for skill in (0.0, 1.0, math.inf):
        found = made_up(skill, 3)
        answered, first, rest = map(_answered, (found, found[:30], found[30:]))
        whole, parts = reference(answered), reference.sums(first) + reference.sums(rest)
        assert math.isclose(whole, reference.value(parts), rel_tol=1e-9), "has a reference that is another in parts"
        ours, theirs = metric.value(found), whole
        same = math.isclose(ours, theirs, rel_tol=1e-5, abs_tol=1e-6)
        assert same, f"is {ours}, and by reference {theirs}"


def _answered(predictions: Predictions) -> Answered:
    one_label = isinstance(predictions, SingleLabel)
    return Answered(predictions.actual, predictions.probabilities, predictions.said, one_label)


def _columns(metric: Metric) -> Iterator[list[int] | None]:
    if metric.overall:
        yield None
    if metric.per_class:
        yield [0, _CLASSES - 1]


def _holds(interval: Interval, value: float) -> bool:
    return interval.low - _CLOSE <= value <= interval.high + _CLOSE


def _near(first: np.ndarray | float, second: np.ndarray | float) -> bool:
    return np.allclose(first, second, rtol=1e-9, atol=_CLOSE, equal_nan=True)


# Takes skill (0 is chance, infinity is perfect) and a seed; returns predictions of _EXAMPLES examples.
MadeUp = Callable[[float, int], Predictions]


def _single_label(skill: float, seed: int) -> SingleLabel:
    random = np.random.default_rng(seed)
    labels = np.arange(_EXAMPLES) % _CLASSES
    truth = np.eye(_CLASSES)[labels]
    costs = np.abs(np.subtract.outer(np.arange(_CLASSES), np.arange(_CLASSES))).astype(np.float64)
    given = {"costs": costs, "remembered": labels % 3 > 0}
    if math.isinf(skill):
        return SingleLabel(labels, truth, ranks=np.zeros((_EXAMPLES, 2), int), **given)
    odds = np.exp(random.normal(size=truth.shape) + skill * truth)
    given["ranks"] = random.geometric(0.1 + 0.2 * skill, (_EXAMPLES, 2)) - 1
    # Some lack a side.
    given["ranks"][::9] = NO_RANK
    return SingleLabel(labels, odds / odds.sum(axis=1, keepdims=True), **given)


def _multi_label(skill: float, seed: int) -> MultiLabel:
    random = np.random.default_rng(seed)
    actual = random.random((_EXAMPLES, _CLASSES)) < np.linspace(0.1, 0.5, _CLASSES)
    remembered = ~actual[:, -1]
    if math.isinf(skill):
        return MultiLabel(actual, actual.astype(np.float64), actual, remembered=remembered)
    probabilities = 1 / (1 + np.exp(-random.normal(size=actual.shape) - skill * (2 * actual - 1)))
    said = probabilities >= np.linspace(0.3, 0.7, _CLASSES)
    return MultiLabel(actual, probabilities, said, remembered=remembered)


def _detection(skill: float, seed: int) -> Detection:
    """Each picture has an object of some classes, side by side; boxes are as far off as the skill is small."""
    random = np.random.default_rng(seed)
    actual = random.random((_EXAMPLES, _CLASSES)) < np.linspace(0.2, 0.6, _CLASSES)
    columns = np.arange(_CLASSES)
    sides = random.choice([0.02, 0.1, 0.13], (_EXAMPLES, _CLASSES))
    start = np.broadcast_to(columns / _CLASSES, sides.shape)
    edges = np.stack([np.zeros(sides.shape), start, sides, start + sides], axis=2)
    truth = np.zeros((_EXAMPLES, _CLASSES, 8))
    truth[..., :4], truth[..., 4], truth[..., 6:] = edges, np.where(actual, columns, -1), 800
    found = np.zeros((_EXAMPLES, _CLASSES, 7))
    off = 0.0 if math.isinf(skill) else random.normal(0, 0.3 / (1 + 2 * skill), (_EXAMPLES, _CLASSES, 4))
    found[..., :4] = edges + off * sides[..., np.newaxis]
    found[..., 4] = np.where(actual, columns, -1) if math.isinf(skill) else columns
    found[..., 5], found[..., 6] = random.random((_EXAMPLES, _CLASSES)), 1
    matches = Matches.of(truth, found, _CLASSES)
    said = (found[..., 4, np.newaxis] == columns).any(axis=1)
    return Detection(actual, found[..., 5], said, matches, truth, found, remembered=~actual[:, -1])


def _segmentation(skill: float, seed: int) -> Segmentation:
    """Each picture has pixels of some classes, and one that all have; a share of them is said to be of others."""
    random = np.random.default_rng(seed)
    there = random.random((_EXAMPLES, _CLASSES)) < np.linspace(0.2, 0.6, _CLASSES)
    there[:, -1] |= ~there.any(axis=1)
    actual = random.integers(50, 200, there.shape) * there
    kept = 1.0 if math.isinf(skill) else random.random(there.shape) ** (1 / (1 + 3 * skill))
    hits = np.floor(actual * kept).astype(np.int64)
    # What is missed of one class is said to be of the next one.
    said = hits + np.roll(actual - hits, 1, axis=1)
    pixels = np.stack([hits, said, actual], axis=2)
    probabilities = np.where(said > 0, 0.9, 0.1)
    return Segmentation(actual > 0, probabilities, said > 0, pixels, remembered=~there[:, -1])


_MADE_UP: dict[str, MadeUp] = {
    SINGLE_LABEL: _single_label,
    MULTI_LABEL: _multi_label,
    DETECTION: _detection,
    SEGMENTATION: _segmentation,
}

"""What a test set says about one gate: value, reference, and the interval of what is held against the bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation import intervals, metrics
from evaluation.auc import auc
from evaluation.gates import Evidence, Interval
from evaluation.metrics import LOWER_IS_BETTER, Predictions
from finetune.config.evaluation import BASELINES, GateConfig

CANDIDATE, CHAMPION = "candidate", "champion"
SEED = 1


@dataclass(frozen=True)
class TestSet:
    """What every model said about the same test examples.

    Attributes:
        classes: Class names, in the order of the columns of probabilities.
        labels: int [examples].
        columns: Column to its value for each example, str [examples]; `label` is among them.
        probabilities: Model (`candidate`, `champion` or a baseline) to float [examples, classes].
    """

    classes: list[str]
    labels: np.ndarray
    columns: Mapping[str, np.ndarray]
    probabilities: Mapping[str, np.ndarray]

    # pytest would take it for tests.
    __test__ = False

    def of(self, model: str) -> Predictions:
        """The predictions of one model."""
        return Predictions(self.labels, self.probabilities[model])

    def members(self, where: Mapping[str, object]) -> np.ndarray:
        """bool [examples], those that have these values in these columns."""
        found = np.ones(len(self.labels), dtype=bool)
        for column, value in where.items():
            found &= self.columns[column] == str(value)
        return found

    def combinations(self, columns: list[str]) -> list[list[str]]:
        """The combinations of the columns' values that occur, in order."""
        rows = zip(*(self.columns[column].tolist() for column in columns), strict=True)
        return [list(row) for row in sorted(set(rows))]


def evidence_for(gate: GateConfig, test_set: TestSet, confidence: float | None = None) -> Evidence:
    """Measures what a gate asks for.

    Args:
        gate: Without `*`, of a metric of predictions.
        test_set: At least one example, and the candidate.
        confidence: Of the interval, where the gate asks for none; None makes none then.
    """
    members = test_set.members(gate.slice)
    if not members.any():
        where = ", ".join(f"{column}={value}" for column, value in gate.slice.items())
        return Evidence(None, examples=0, missing=f"the test split has no example with {where}")
    of_class = None
    if gate.of_class is not None:
        if gate.of_class not in test_set.classes:
            known = ", ".join(test_set.classes[:20])
            return Evidence(None, examples=0, missing=f"there is no class {gate.of_class!r}; there are {known}")
        of_class = test_set.classes.index(gate.of_class)
    candidate = test_set.of(CANDIDATE)[members]
    examples = len(candidate) if of_class is None else int((candidate.labels == of_class).sum())
    value = metrics.measure(gate.metric, candidate, of_class)
    if math.isnan(value):
        return Evidence(None, examples=examples, missing="it is undefined where all examples have the same label")
    asked = gate.confidence or confidence
    if gate.relative_to is None:
        interval = value_interval(gate.metric, candidate, asked, of_class) if asked else None
        return Evidence(value, examples=examples, interval=interval)
    name = _reference(gate, test_set, members, of_class)
    if name is None:
        if gate.relative_to == CHAMPION:
            return Evidence(value, examples=examples, first_run=True)
        return Evidence(value, examples=examples, missing=f"{gate.relative_to}: no such baseline was scored")
    other = test_set.of(name)[members]
    return Evidence(
        value,
        reference=metrics.measure(gate.metric, other, of_class),
        reference_name=name.replace("_", " "),
        examples=examples,
        interval=change_interval(gate.metric, candidate, other, gate.compare, asked, of_class) if asked else None,
    )


def value_interval(metric: str, predictions: Predictions, confidence: float, of_class: int | None = None) -> Interval:
    """Interval of one model's metric: Wilson's for shares, DeLong's for AUC, else from the bootstrap."""
    value = metrics.measure(metric, predictions, of_class)
    if metric == "auc":
        found = intervals.normal(
            value, auc(predictions.labels, predictions.probabilities).influence, confidence, "DeLong"
        )
        return _within_unit(found) if found.high > found.low else _of_share(value, len(predictions), confidence)
    if metric == "accuracy":
        return intervals.wilson(int(predictions.correct.sum()), len(predictions), confidence)
    if metric in ("precision", "recall"):
        chosen = predictions.predicted if metric == "precision" else predictions.labels
        return _of_share(value, int((chosen == of_class).sum()), confidence)
    drawn = intervals.bootstrap(
        len(predictions), SEED, lambda weights: metrics.replicates(metric, predictions, weights, of_class)
    )
    if metric == "loss":
        return intervals.percentile(value, drawn, confidence)
    if metric == "ece":
        return _calibration_interval(value, drawn, predictions, confidence)
    found = intervals.percentile(value, drawn, confidence)
    if found.low == found.high:
        # All right or all wrong: every resample says the same, however few examples there are.
        counts = len(predictions) if of_class is None else int((predictions.labels == of_class).sum())
        return _of_share(value, counts, confidence)
    return found


def _calibration_interval(value: float, drawn: np.ndarray, predictions: Predictions, confidence: float) -> Interval:
    """Interval of the calibration error, to which noise within a bin can only add.

    The upper end is the basic bootstrap's. The lower one takes off all the noise that resampling finds: by the triangle
    inequality, measured and true error differ by at most the summed noise of the bins. It is 0 for a calibrated model.
    """
    observed = metrics.calibration_gaps(predictions, np.ones((1, len(predictions))))
    noise = intervals.bootstrap(
        len(predictions),
        SEED,
        lambda weights: np.abs(metrics.calibration_gaps(predictions, weights) - observed).sum(axis=1),
    )
    low = value - float(np.quantile(noise, (1 + confidence) / 2))
    high = intervals.mirrored(value, drawn, confidence).high
    return _within_unit(Interval(low, high, confidence, "bootstrap, basic"))


def change_interval(
    metric: str,
    candidate: Predictions,
    other: Predictions,
    compare: str,
    confidence: float,
    of_class: int | None = None,
) -> Interval:
    """Interval of the difference (or ratio) of two models' metrics on the same examples.

    Both models see the same resamples, so that what they find equally hard cancels out.
    """
    ratio = compare == "ratio"
    if not ratio and metric in ("accuracy", "recall"):
        judged = candidate.labels == of_class if metric == "recall" else np.ones(len(candidate), dtype=bool)
        if judged.any():
            return intervals.paired_shares(candidate.correct[judged], other.correct[judged], confidence)
    if metric == "auc":
        one, two = (auc(model.labels, model.probabilities) for model in (candidate, other))
        if ratio:
            logarithm = intervals.normal(
                math.log(one.value / two.value),
                one.influence / one.value - two.influence / two.value,
                confidence,
                "DeLong, paired",
            )
            return Interval(math.exp(logarithm.low), math.exp(logarithm.high), confidence, logarithm.method)
        return intervals.normal(one.value - two.value, one.influence - two.influence, confidence, "DeLong, paired")

    def change(weights: np.ndarray) -> np.ndarray:
        first, second = (metrics.replicates(metric, model, weights, of_class) for model in (candidate, other))
        if not ratio:
            return first - second
        return np.divide(first, second, out=np.full_like(first, np.nan), where=second > 0)

    drawn = intervals.bootstrap(len(candidate), SEED, change)
    value = float(change(np.ones((1, len(candidate))))[0])
    return intervals.percentile(value, drawn, confidence)


def _reference(gate: GateConfig, test_set: TestSet, members: np.ndarray, of_class: int | None) -> str | None:
    """The model to compare with; of several baselines, the one that is best on these examples."""
    if gate.relative_to != "baseline":
        return gate.relative_to if gate.relative_to in test_set.probabilities else None
    known = [name for name in BASELINES if name in test_set.probabilities]
    values = {name: metrics.measure(gate.metric, test_set.of(name)[members], of_class) for name in known}
    best = min if gate.metric in LOWER_IS_BETTER else max
    return best(values, key=values.__getitem__) if values else None


def _of_share(value: float, examples: int, confidence: float) -> Interval:
    if not examples:
        return Interval(0.0, 1.0, confidence, "nothing is known of no examples")
    return intervals.wilson(value * examples, examples, confidence)


def _within_unit(interval: Interval) -> Interval:
    return Interval(max(interval.low, 0.0), min(interval.high, 1.0), interval.confidence, interval.method)

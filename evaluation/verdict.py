"""The verdict on a candidate: all gates, and the numbers that a person needs to agree or not. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.evidence import ALONE, CANDIDATE, CHAMPION, TestSet, change_interval, evidence_for, value_interval
from evaluation.gates import expand, judge
from evaluation.metrics import METRICS, Metric, metrics_of
from evaluation.metrics.calibration import reliability
from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Pair
from evaluation.predictions import Predictions
from evaluation.reuse import at_look
from evaluation.tasks import TASKS
from finetune.artifacts.findings import (
    ClassFindings,
    DriftedSpan,
    Findings,
    GateResult,
    Interval,
    Measured,
    ReliabilityBin,
    Reuse,
    SliceFindings,
)
from finetune.config.evaluation import BASELINES, GateConfig, is_ordinary
from finetune.spans import place_of
from transforms.features import SPAN

# Of the intervals in the report, where no gate asks for another.
CONFIDENCE = 0.95
SLICES_KEPT = 500
# A bootstrap of each of very many classes, or of a slow metric of very many decisions, would take minutes: such values
# are shown without an interval. A gate that asks for one has it, however long that takes.
CLASSES_BOOTSTRAPPED = 100
DECISIONS_BOOTSTRAPPED = 1_000_000
TFMA_GATE = "TFMA agrees"


@dataclass(frozen=True)
class Tfma:
    """What TFMA's Evaluator decided, and in words what did not hold.

    `blessed` is None when it had no threshold to decide by; `expected` says whether it was given any gate to decide.
    """

    blessed: bool | None
    expected: bool
    failures: tuple[str, ...] = ()


def judge_all(
    gates: Sequence[GateConfig],
    test_set: TestSet,
    tfma: Tfma,
    of_model: Sequence[GateResult],
    reuse: Reuse | None = None,
) -> list[GateResult]:
    """Judges every gate.

    Args:
        gates: From the config; those that are not about the test split are skipped.
        test_set: Of the candidate and all it is compared with.
        tfma: Its verdict on those gates that it can decide; both verdicts must agree to bless.
        of_model: Results of those.
        reuse: What is left of the test split; None where nothing was judged beside a champion before.

    Returns:
        A result for each gate. One more is appended when TFMA refuses what we would let pass.
    """
    quality = expand([gate for gate in gates if not METRICS[gate.metric].of_model], test_set.cells)
    results = judge(quality, lambda gate: evidence_for(at_look(gate, reuse), test_set, CONFIDENCE))
    return [*results, *_disagreement(results, tfma), *of_model]


def drifted_spans(gates: Sequence[GateConfig], test_set: TestSet) -> list[DriftedSpan] | None:
    """Says which spans of the test split are set aside; None where no gate asks for the others, or without a champion.

    A span of which the test split has no example, such as one that is gone, sets nothing aside.
    """
    asked = any(is_ordinary(*each) for gate in gates for each in gate.slice.items())
    if not asked or CHAMPION not in test_set.probabilities:
        return None
    found = [
        DriftedSpan(name=name, differs_in=list(reasons), examples=int(test_set.members({SPAN: name}).sum()))
        for name, reasons in sorted(test_set.drifted.items(), key=lambda one: place_of(one[0]))
        if SPAN in test_set.columns
    ]
    return [span for span in found if span.examples]


def _disagreement(results: Sequence[GateResult], tfma: Tfma) -> list[GateResult]:
    if tfma.blessed or (tfma.blessed is None and not tfma.expected):
        return []
    if tfma.blessed is False and not all(result.passed for result in results):
        return []
    reason = "; ".join(tfma.failures) or "it gave no verdict, though it was given thresholds"
    refused = GateResult(
        name=TFMA_GATE,
        metric="tfma",
        value=None,
        bound=1.0,
        passed=False,
        reason=f"TFMA's own thresholds refuse the candidate: {reason}",
        advice="look into the Evaluator's output: it measured something else than the predictions say",
    )
    return [refused]


def findings(test_set: TestSet, slices: Sequence[Sequence[str]]) -> Findings:
    """Measures what is reported beside the gates.

    Args:
        test_set: Of the candidate and all it is compared with.
        slices: Columns, or crosses of two, to cut it by; the smallest slices are left out beyond some hundreds.
    """
    candidate, compared = test_set.of(CANDIDATE), test_set.compared
    pair = (compared.of(CANDIDATE), compared.of(CHAMPION)) if CHAMPION in compared.probabilities else None
    pair = pair if pair and len(pair[0]) else None
    leading = METRICS[TASKS[test_set.task].leading]
    parts = [part for columns in slices for part in _parts(test_set, columns)]
    smallest_first = sorted(range(len(parts)), key=lambda place: parts[place][1].sum())
    left_out = set(smallest_first[: max(len(parts) - SLICES_KEPT, 0)])
    asked = metrics_of(test_set.task).values()
    overall = [metric for metric in asked if metric.overall]
    return Findings(
        examples=len(candidate),
        leading=leading.name,
        metrics={metric.name: found for metric in overall if (found := _metric(metric, candidate, pair))},
        baselines={
            name: {metric.name: value for metric in overall if np.isfinite(value := metric.value(test_set.of(name)))}
            for name in BASELINES
            if name in test_set.probabilities
        },
        alone={
            name: found
            for name in ALONE.values()
            if name in test_set.probabilities and (found := _metric(leading, test_set.of(name), None))
        },
        classes=_classes(test_set.classes, candidate, [metric for metric in asked if metric.per_class]),
        slices=[_slice(leading, *part, test_set) for place, part in enumerate(parts) if place not in left_out],
        slices_left_out=len(left_out),
        reliability={
            name: [ReliabilityBin.model_validate(one) for one in reliability(test_set.of(name))]
            for name in (CANDIDATE, CHAMPION)
            if name in test_set.probabilities
        },
    )


def is_quick(metric: Metric, predictions: Predictions) -> bool:
    """Says whether intervals of a metric over all classes are drawn within seconds."""
    return not metric.slow or len(predictions) * predictions.classes <= DECISIONS_BOOTSTRAPPED


def _metric(metric: Metric, candidate: Predictions, pair: Pair | None) -> Measured | None:
    """Measures the candidate on all examples, and beside the champion on those of the pair."""
    value = metric.value(candidate)
    if not np.isfinite(value):
        return None
    shown = is_quick(metric, candidate)
    interval = value_interval(metric, candidate, CONFIDENCE) if shown else None
    if pair is None or not np.isfinite(beside := metric.value(pair[1])):
        return Measured(value=value, interval=interval)
    change = change_interval(metric, pair, "difference", CONFIDENCE) if shown else None
    return Measured(value=value, interval=interval, champion=beside, change=change)


def _classes(classes: Sequence[str], candidate: Predictions, metrics: Sequence[Metric]) -> list[ClassFindings]:
    counts = candidate.actual.sum(axis=0)
    shown = np.flatnonzero(counts + candidate.said.sum(axis=0)).tolist()
    measured: dict[int, dict[str, Measured]] = {column: {} for column in shown}
    for metric in metrics:
        values = metric.class_values(candidate)
        drawn = type(metric.interval) is Bootstrap or candidate.groups is not None
        quick = not drawn or len(shown) <= CLASSES_BOOTSTRAPPED
        quick &= not metric.slow or len(candidate) * len(shown) <= DECISIONS_BOOTSTRAPPED
        intervals: Sequence[Interval | None] = [None] * len(shown)
        if metric.interval and quick:
            intervals = metric.interval.values(metric, candidate, CONFIDENCE, shown)
        for column, interval in zip(shown, intervals, strict=True):
            value = values[column] if np.isfinite(values[column]) else None
            measured[column][metric.name] = Measured(value=value, interval=interval)
    return [
        ClassFindings(name=classes[column], examples=int(counts[column]), metrics=found)
        for column, found in measured.items()
    ]


def _parts(test_set: TestSet, columns: Sequence[str]) -> list[tuple[dict[str, str], np.ndarray]]:
    """Returns what each slice has in its columns, and bool [examples], which are in it."""
    wheres = [dict(zip(columns, values, strict=True)) for values in test_set.combinations(columns)]
    return [(where, test_set.members(where)) for where in wheres]


def _slice(leading: Metric, where: dict[str, str], members: np.ndarray, test_set: TestSet) -> SliceFindings:
    candidate = test_set.of(CANDIDATE)
    compared = members if test_set.learned is None else members & ~test_set.learned
    beside = CHAMPION in test_set.probabilities and bool(compared.any())
    return SliceFindings(
        slice=where,
        examples=int(members.sum()),
        value=leading.value(candidate[members]),
        interval=value_interval(leading, candidate[members], CONFIDENCE),
        champion=leading.value(test_set.of(CHAMPION)[compared]) if beside else None,
    )

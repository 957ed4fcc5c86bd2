"""The verdict on a candidate: all gates, and the numbers that a person needs to agree or not. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, change_interval, evidence_for, value_interval
from evaluation.gates import GateResult, Interval, expand, judge
from evaluation.intervals import wilson
from evaluation.metrics import Predictions, measure, reliability
from finetune.config.evaluation import BASELINES, CLASS_METRICS, QUALITY_METRICS, GateConfig

# Of the intervals in the report, where no gate asks for another.
CONFIDENCE = 0.95
SLICES_KEPT = 500
TFMA_GATE = "TFMA agrees"


@dataclass(frozen=True)
class Tfma:
    """What TFMA's Evaluator decided.

    Attributes:
        blessed: None when it had no threshold to decide by.
        expected: Whether it was given any gate to decide.
        failures: What did not hold, in words.
    """

    blessed: bool | None
    expected: bool
    failures: tuple[str, ...] = ()


def judge_all(
    gates: Sequence[GateConfig], test_set: TestSet, tfma: Tfma, serving: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Judges every gate.

    Args:
        gates: From the config; those of the exported model are skipped.
        test_set: Of the candidate and all it is compared with.
        tfma: Its verdict on those gates that it can decide; both verdicts must agree to bless.
        serving: Results of the gates on the exported model, as `GateResult.to_dict` gives them.

    Returns:
        A mapping for each gate, as in the summary. One more is appended when TFMA refuses what we would let pass.
    """
    quality = expand([gate for gate in gates if not gate.is_serving], test_set.combinations)
    results = [result.to_dict() for result in judge(quality, lambda gate: evidence_for(gate, test_set, CONFIDENCE))]
    disagreement = _disagreement(results, tfma)
    return [*results, *disagreement, *(dict(result) for result in serving)]


def _disagreement(results: list[dict[str, Any]], tfma: Tfma) -> list[dict[str, Any]]:
    if tfma.blessed or (tfma.blessed is None and not tfma.expected):
        return []
    if tfma.blessed is False and not all(result["passed"] for result in results):
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
    return [refused.to_dict()]


def findings(test_set: TestSet, slices: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What is reported beside the gates.

    Returns:
        examples: Number of test examples.
        metrics: Per name `value`, `interval`, and where there is a champion `champion` (its value) and `change` (the
            interval of the difference).
        baselines: Per name of a baseline, its metrics by name.
        classes: Per class `class`, `examples`, and `precision`, `recall` and `f1`, each with `value` and `interval`.
        slices: Per slice `slice`, `examples`, `accuracy`, `interval` and `champion` (accuracy); the smallest left out
            beyond some hundreds, which `slices_left_out` counts.
        reliability: Per model, the bins of `evaluation.metrics.reliability`.
    """
    candidate = test_set.of(CANDIDATE)
    champion = test_set.of(CHAMPION) if CHAMPION in test_set.probabilities else None
    rows = [row for columns in slices for row in _slices(test_set, columns)]
    kept = sorted(rows, key=lambda row: -row["examples"])[:SLICES_KEPT]
    kept_ids = {id(row) for row in kept}
    return {
        "examples": len(candidate),
        "metrics": {name: found for name in QUALITY_METRICS if (found := _metric(name, candidate, champion))},
        "baselines": {
            name: {
                metric: value for metric in QUALITY_METRICS if np.isfinite(value := measure(metric, test_set.of(name)))
            }
            for name in BASELINES
            if name in test_set.probabilities
        },
        "classes": _classes(test_set.classes, candidate),
        "slices": [row for row in rows if id(row) in kept_ids],
        "slices_left_out": len(rows) - len(kept),
        "reliability": {
            name: reliability(test_set.of(name)) for name in (CANDIDATE, CHAMPION) if name in test_set.probabilities
        },
    }


def _metric(name: str, candidate: Predictions, champion: Predictions | None) -> dict[str, Any] | None:
    value = measure(name, candidate)
    if not np.isfinite(value):
        return None
    found: dict[str, Any] = {"value": value, "interval": asdict(value_interval(name, candidate, CONFIDENCE))}
    if champion is not None:
        found["champion"] = measure(name, champion)
        found["change"] = asdict(change_interval(name, candidate, champion, "difference", CONFIDENCE))
    return found


def _classes(classes: Sequence[str], candidate: Predictions) -> list[dict[str, Any]]:
    counts = np.bincount(candidate.labels, minlength=len(classes))
    seen = counts + np.bincount(candidate.predicted, minlength=len(classes)) > 0
    # A bootstrap for each of very many classes would take minutes; their F1 is shown without an interval.
    with_interval = ("precision", "recall") if len(classes) > 100 else CLASS_METRICS
    return [
        {
            "class": name,
            "examples": int(counts[column]),
            **{
                metric: {
                    "value": measure(metric, candidate, column),
                    "interval": asdict(value_interval(metric, candidate, CONFIDENCE, column))
                    if metric in with_interval
                    else None,
                }
                for metric in CLASS_METRICS
            },
        }
        for column, name in enumerate(classes)
        if seen[column]
    ]


def _slices(test_set: TestSet, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for values in test_set.combinations(list(columns)):
        where = dict(zip(columns, values, strict=True))
        members = test_set.members(where)
        hits, examples = int(test_set.of(CANDIDATE).correct[members].sum()), int(members.sum())
        interval: Interval = wilson(hits, examples, CONFIDENCE)
        champion = CHAMPION in test_set.probabilities
        rows.append(
            {
                "slice": where,
                "examples": examples,
                "accuracy": hits / examples,
                "interval": asdict(interval),
                "champion": float(test_set.of(CHAMPION).correct[members].mean()) if champion else None,
            }
        )
    return rows

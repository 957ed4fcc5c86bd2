"""Gates as plain decisions: what was measured, a bound, a verdict and its reason. No TensorFlow here.

Whoever measures hands over one `Evidence` for each gate; how it was measured is not a matter of this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.advice import advice
from evaluation.power import Counted, power_of
from finetune.artifacts.findings import GateResult, Interval, Power
from finetune.config.evaluation import EACH, GateConfig

SliceKey = tuple[tuple[str, str], ...]
Metrics = Mapping[SliceKey, Mapping[str, float]]

# A value that misses its bound by less is on it: 0.895 - 0.905 is a little below -0.01 in binary arithmetic.
ROUNDING = 1e-6
# Of smaller values, such as differences in parity, four decimals leave nothing.
LEAST_SHOWN = 5e-4


@dataclass(frozen=True)
class Evidence:
    """What was measured for one gate: the candidate's value, or None and in `missing` why there is none.

    `reference` is that of what `gate.relative_to` names, called `reference_name`; on a `first_run` there is no champion
    to be one. `examples` counts those it was measured on, and is None for a fact about the model. The interval is of
    the value, or for a relative gate of the difference or ratio; `counted` are the examples behind a share, or behind
    the difference of two. `unseen` says that nothing was measured because the test split has no examples to do so,
    `not_asked` why a gate is none for this candidate.
    """

    value: float | None
    reference: float | None = None
    reference_name: str = ""
    first_run: bool = False
    examples: int | None = None
    interval: Interval | None = None
    missing: str = ""
    unseen: bool = False
    counted: Counted | None = None
    not_asked: str = ""


def slice_key(where: Mapping[str, Any]) -> SliceKey:
    """The key of a slice such as `{"label": "rose"}`: pairs sorted by column."""
    return tuple(sorted((column, str(value)) for column, value in where.items()))


def expand(gates: Sequence[GateConfig], values: Callable[[Sequence[str]], Sequence[Sequence[str]]]) -> list[GateConfig]:
    """Writes out the gates that ask for each value of a column, or for each class.

    Args:
        gates: From the config.
        values: Takes columns and returns the combinations of their values that `*` stands for. The classes are the
            values of `label`.

    Returns:
        Gates without `*`. k gates made from one share its risk of a wrong verdict: each is held at confidence
        1 - (1 - c) / k (Bonferroni), so that all of them together are wrong no more often than one would be.
    """
    return [single for gate in gates for single in _expand_one(gate, values)]


def _expand_one(gate: GateConfig, values: Callable[[Sequence[str]], Sequence[Sequence[str]]]) -> list[GateConfig]:
    columns = [column for column, value in gate.slice.items() if value == EACH]
    each_class = gate.of_class == EACH
    if not columns and not each_class:
        return [gate]
    wheres = [dict(zip(columns, combination, strict=True)) for combination in values(columns)] if columns else [{}]
    classes = [name for (name,) in values(["label"])] if each_class else [gate.of_class]
    cells: list[dict[str, Any]] = [
        {"slice": {**gate.slice, **where}, "of_class": name} for where in wheres for name in classes
    ]
    if gate.confidence:
        shared = 1 - (1 - gate.confidence) / max(len(cells), 1)
        cells = [{**cell, "confidence": shared} for cell in cells]
    return [gate.model_copy(update=cell) for cell in cells]


def judge(gates: Sequence[GateConfig], evidence: Callable[[GateConfig], Evidence]) -> list[GateResult]:
    """Holds each gate against what was measured for it; every one is judged, not only the first that fails."""
    return [judge_one(gate, evidence(gate)) for gate in gates]


def judge_one(gate: GateConfig, evidence: Evidence) -> GateResult:
    """Decides one gate.

    With `confidence`, one end of the interval decides in place of the value: `unproven` takes the end nearer to
    failing, so that all of the interval must meet the bound; `disproven` takes the other, so that a gate fails only if
    none of it does.
    """
    bound = gate.min if gate.min is not None else gate.max
    assert bound is not None

    def result(value: float | None, passed: bool, reason: str, judged: bool = True) -> GateResult:
        return GateResult(
            name=gate.name,
            metric=gate.metric,
            value=value,
            bound=bound,
            passed=passed,
            reason=reason,
            judged=judged,
            slice={column: str(value) for column, value in gate.slice.items()},
            of_class=gate.of_class,
            examples=evidence.examples,
            interval=evidence.interval,
            reference=evidence.reference,
            reference_name=evidence.reference_name,
            power=None if value is None or not judged else _power(gate, value, evidence),
            advice="" if passed else advice(gate, value is None),
        )

    if evidence.not_asked:
        return result(None, True, f"not judged: {evidence.not_asked}", judged=False)
    if evidence.examples is not None and 0 < evidence.examples < gate.min_examples:
        few = f"not judged: {evidence.examples} test examples are fewer than min_examples, {gate.min_examples}"
        return result(None, True, few, judged=False)
    if evidence.unseen and gate.on_missing == "tell":
        return result(None, True, f"not judged: {evidence.missing}", judged=False)
    if gate.relative_to is not None and evidence.first_run:
        first = "there is no champion yet, so there is nothing to compare with"
        return result(None, True, first, judged=False)
    if evidence.value is None:
        return result(None, False, evidence.missing or "it was not measured")
    value = evidence.value
    shown = f"{value:.1e}" if 0 < abs(value) < LEAST_SHOWN else f"{value:.4f}"
    if gate.relative_to is not None:
        if evidence.reference is None:
            return result(None, False, evidence.missing or f"the {gate.relative_to} was not measured")
        beside = f"({evidence.value:.4f} beside the {evidence.reference_name}'s {evidence.reference:.4f})"
        if gate.compare == "ratio":
            if evidence.reference == 0:
                return result(None, False, f"there is no ratio to the {evidence.reference_name}'s value, which is 0")
            value = evidence.value / evidence.reference
            shown = f"{value:.4f} times {beside}"
        else:
            value = evidence.value - evidence.reference
            shown = f"{value:+.4f} {beside}"
    decisive = value
    if gate.confidence:
        if evidence.interval is None:
            return result(value, False, f"{shown}, and there is no interval to be sure by")
        low, high = evidence.interval.low, evidence.interval.high
        decisive = low if (gate.min is not None) == (gate.refuses_when == "unproven") else high
        end = "lower" if decisive == low else "upper"
        shown += f", {100 * evidence.interval.confidence:.4g} % interval {low:.4f} to {high:.4f}, whose {end} end"
    passed = decisive >= bound - ROUNDING if gate.min is not None else decisive <= bound + ROUNDING
    side = ("at least" if passed else "below") if gate.min is not None else ("at most" if passed else "above")
    signed = gate.relative_to and gate.compare == "difference"
    reason = f"{shown} is {side} {bound:{'+g' if signed else 'g'}}"
    if passed and gate.confidence and gate.refuses_when == "disproven" and not _is_proven(gate, evidence.interval):
        reason += "; it is not proven either"
    return result(value, passed, reason)


def _is_proven(gate: GateConfig, interval: Interval | None) -> bool:
    """Whether all of the interval meets the bound."""
    assert interval is not None
    return interval.low >= gate.min - ROUNDING if gate.min is not None else interval.high <= (gate.max or 0) + ROUNDING


def _power(gate: GateConfig, value: float, evidence: Evidence) -> Power | None:
    """What the test split could have shown; None where it has no say, or there is no interval to tell by."""
    interval, bound = evidence.interval, gate.min if gate.min is not None else gate.max
    if interval is None or not evidence.examples or not all(map(math.isfinite, (value, interval.low, interval.high))):
        return None
    assert bound is not None
    proves = not gate.confidence or gate.refuses_when == "unproven"
    above = (gate.min is not None) == proves
    return power_of(value, bound, interval, evidence.examples, above, evidence.counted)

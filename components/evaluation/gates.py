"""Gates as plain decisions: a metric, a bound, a verdict and its reason. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import GateConfig

SliceKey = tuple[tuple[str, str], ...]
Metrics = Mapping[SliceKey, Mapping[str, float]]

OVERALL: SliceKey = ()


@dataclass(frozen=True)
class GateResult:
    """What one gate found.

    Attributes:
        name: The gate in short, such as `accuracy >= 0.85`.
        metric: The metric's name.
        value: The candidate's value, or its difference to the champion for a relative gate; None if not measured.
        bound: What the value was held against.
        passed: The verdict.
        reason: A sentence with the numbers that decided.
    """

    name: str
    metric: str
    value: float | None
    bound: float
    passed: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As in the summary file."""
        return asdict(self)


def slice_key(where: Mapping[str, Any]) -> SliceKey:
    """The key of a slice such as `{"label": "rose"}`: pairs sorted by column."""
    return tuple(sorted((column, str(value)) for column, value in where.items()))


def judge(gates: Sequence[GateConfig], candidate: Metrics, champion: Metrics | None) -> list[GateResult]:
    """Holds each gate against the measured metrics.

    Args:
        gates: From the config.
        candidate: Metrics of the candidate on the test split, by slice.
        champion: The same of the champion; None when there is none, and then relative gates pass.
    """
    return [_judge_one(gate, candidate, champion) for gate in gates]


def _judge_one(gate: GateConfig, candidate: Metrics, champion: Metrics | None) -> GateResult:
    key = slice_key(gate.slice)
    bound = gate.min if gate.min is not None else gate.max
    assert bound is not None

    def result(value: float | None, passed: bool, reason: str) -> GateResult:
        return GateResult(gate.name, gate.metric, value, bound, passed, reason)

    measured = candidate.get(key, {}).get(gate.metric)
    if measured is None:
        where = ", ".join(f"{column}={value}" for column, value in key)
        return result(None, False, f"the test split has no example with {where}" if key else "it was not measured")
    if gate.relative_to is None:
        value, shown = measured, f"{measured:.4f}"
    else:
        if champion is None:
            return result(None, True, "there is no champion yet, so there is nothing to compare with")
        reference = champion.get(key, {}).get(gate.metric)
        if reference is None:
            return result(None, False, "the champion was not measured on this slice")
        value = measured - reference
        shown = f"{value:+.4f} ({measured:.4f} beside the champion's {reference:.4f})"
    passed = value >= bound if gate.min is not None else value <= bound
    side = ("at least" if passed else "below") if gate.min is not None else ("at most" if passed else "above")
    return result(value, passed, f"{shown} is {side} {bound:{'+g' if gate.relative_to else 'g'}}")

"""What the evaluation found out about a candidate: parts that the verdict, the report and the model card share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from finetune.artifacts.base import Record


@dataclass(frozen=True)
class Interval:
    """A confidence interval, `low` to `high`; `method` names how it was made."""

    low: float
    high: float
    confidence: float
    method: str = ""


@dataclass(frozen=True)
class GateResult:
    """What one gate found.

    Attributes:
        name: The gate in short, such as `accuracy >= 0.85`.
        metric: The metric's name.
        value: The candidate's value, or its difference or ratio for a relative gate; None if not measured.
        bound: What the value was held against.
        passed: The verdict.
        reason: A sentence with the numbers that decided.
        judged: Whether the bound was applied; a slice too small, or no champion, leaves nothing to judge.
        slice: Column to value.
        of_class: The class of a metric per class.
        examples: Test examples that the gate saw.
        interval: Of `value`; None where none was made.
        reference: Value of what the candidate was compared with, and `reference_name` what that is.
        advice: What to try when it failed.
    """

    name: str
    metric: str
    value: float | None
    bound: float
    passed: bool
    reason: str = ""
    judged: bool = True
    slice: dict[str, str] = field(default_factory=dict)
    of_class: str | None = None
    examples: int | None = None
    interval: Interval | None = None
    reference: float | None = None
    reference_name: str = ""
    advice: str = ""


class Measured(Record):
    """A metric of the candidate; with a champion, also its value and the interval of the difference."""

    value: float | None
    interval: Interval | None = None
    champion: float | None = None
    change: Interval | None = None


class ClassFindings(Record):
    """A class: how many test examples are of it, and its metrics by name."""

    name: str = Field(alias="class")
    examples: int
    metrics: dict[str, Measured] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_metrics(cls, value: Any) -> Any:
        """The first form of the verdict had each metric of a class as a field of its own."""
        if not isinstance(value, dict) or "metrics" in value:
            return value
        fields = {key: item for key, item in value.items() if key in ("class", "name", "examples")}
        return {**fields, "metrics": {key: item for key, item in value.items() if key not in fields}}


class SliceFindings(Record):
    """The leading metric on a slice, given by column and value; that of the champion is None where there is none."""

    slice: dict[str, str]
    examples: int
    value: float = Field(validation_alias=AliasChoices("value", "accuracy"))
    interval: Interval | None = None
    champion: float | None = None


class ReliabilityBin(Record):
    """Examples of a confidence from `low` to `high`: how many, how sure the model is, how many it has right."""

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


class Findings(Record):
    """All that was measured on the test split beside the gates.

    Attributes:
        examples: How many there are.
        leading: The metric that says in one number how good a model is; slices are measured by it.
        metrics: By name.
        baselines: By name of the baseline, its metrics by name.
        classes: Those that occur.
        slices: The largest; `slices_left_out` counts the others.
        reliability: Bins by model.
    """

    examples: int = 0
    leading: str = "accuracy"
    metrics: dict[str, Measured] = {}
    baselines: dict[str, dict[str, float]] = {}
    classes: list[ClassFindings] = []
    slices: list[SliceFindings] = []
    slices_left_out: int = 0
    reliability: dict[str, list[ReliabilityBin]] = {}

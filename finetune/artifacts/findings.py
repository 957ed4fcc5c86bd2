"""What was found out about a candidate: the verdict, what serving it showed, and the parts that they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from finetune.artifacts.base import Artifact, Record


@dataclass(frozen=True)
class Interval:
    """A confidence interval, `low` to `high`; `method` names how it was made."""

    low: float
    high: float
    confidence: float
    method: str = ""


@dataclass(frozen=True)
class Power:
    """What a test split can show: the `smallest` distance from the bound that it finds in 80 % of cases, None if none.

    `more_labels` says how many more labelled examples would decide about the distance measured: 0 if it is decided,
    None if no number would do.
    """

    smallest: float | None
    more_labels: int | None


@dataclass(frozen=True)
class GateResult:
    """What one gate found; `name` is the gate in short, such as `accuracy >= 0.85`.

    `value`, with its `interval`, is the candidate's, or the difference from or ratio to a `reference` that
    `reference_name` names; None if it was not measured. A slice too small, or no champion, leaves nothing to judge.
    `slice` is column to value, `examples` counts those that the gate saw, `power` says what they could have shown,
    `advice` what to try when it failed.
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
    power: Power | None = None
    advice: str = ""


class Measured(Record):
    """A metric of the candidate; with a champion, also its value and the interval of the difference.

    These two are of the examples that the champion did not learn from.
    """

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
    """All that was measured on the test split beside the gates: metrics by name, those of baselines by baseline first.

    `leading` is the metric that says in one number how good a model is: slices are measured by it. `slices` are the
    largest, and `slices_left_out` counts the others; `reliability` has bins by model. `alone` has that metric of the
    candidate without the words, or without the pictures, of examples that have both.
    """

    examples: int = 0
    leading: str = "accuracy"
    metrics: dict[str, Measured] = {}
    baselines: dict[str, dict[str, float]] = {}
    alone: dict[str, Measured] = {}
    classes: list[ClassFindings] = []
    slices: list[SliceFindings] = []
    slices_left_out: int = 0
    reliability: dict[str, list[ReliabilityBin]] = {}


class Reuse(Record):
    """How often the test examples have judged a candidate beside a champion, this `look` included.

    Attributes:
        look: From 1.
        examples: In the test split.
        risk: Of a false promotion, over all looks; None where it is not bounded.
        level: What this look may take of it, at one end of an interval; None where no gate bounds it.
        more_labels: More test examples, with which this look would show what the first one showed.
        learned: How many of the examples the champion learned from, which no comparison counts; None if not known.
        used_up: Whether a new test split of the same size costs no more labels than that.
    """

    look: int
    examples: int
    risk: float | None = None
    level: float | None = None
    more_labels: int = 0
    learned: int | None = None
    used_up: bool = False


class DriftedSpan(Record):
    """A span that has drifted from what its champion was made with, so that it is no part of `span: ordinary`.

    Attributes:
        name: Of the span.
        differs_in: Names of the reasons to train by which it differs.
        examples: Test examples of it.
    """

    name: str
    differs_in: list[str]
    examples: int


class Verdict(Findings, Artifact, file="verdict.json"):
    """`verdict.json`: whether a candidate `passed` all gates, and is `blessed`, which is to go out.

    `report_only` says that it goes out although it did not pass; `reuse` is None where nothing is compared with a
    champion; `drifted` are spans with test examples, None as well where no gate asks for the others.
    """

    schema_version: int = 2
    passed: bool
    blessed: bool
    report_only: bool
    gates: list[GateResult]
    reuse: Reuse | None = None
    drifted: list[DriftedSpan] | None = None


class ServingMetrics(Record):
    """Metrics of the exported model by name, those that could be measured; of champion and teacher None without one."""

    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] | None = None
    teacher_metrics: dict[str, float] | None = None


class ServingFindings(ServingMetrics, Artifact, file="serving.json"):
    """`serving.json`: what the ServingGate found when it served the exported model, whose digest is `model_sha256`.

    A refusal is a clause that says why a model cannot be served; empty if it can. `milliseconds` are those of each
    request, by model and batch size. `rounds`, which are not written, are the metrics of each model round by round, as
    they are compared.
    """

    model_sha256: str
    refusal: str = ""
    champion_refusal: str = ""
    teacher_refusal: str = ""
    milliseconds: dict[str, dict[int, list[float]]] = {}
    rounds: dict[str, dict[str, list[float]]] = Field({}, exclude=True)
    gates: list[GateResult] = []

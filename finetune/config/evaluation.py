"""The section of a config that says what a candidate must show before it is pushed."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from finetune.config.base import LocalPath, Section

Baseline = Literal["majority", "logistic_regression", "from_scratch", "teacher"]
BASELINES: tuple[str, ...] = get_args(Baseline)
# The model of `training.distillation`. Nobody expects its pupil to be better.
TEACHER = "teacher"
EACH = "*"
# Of the column `span` a value that no span is called like: those that no decision has found to drift.
ORDINARY = "ordinary"


def is_ordinary(column: str, value: object) -> bool:
    """Whether a slice is that of all spans whose inputs are like those that the champion was made with."""
    return column == "span" and value == ORDINARY


class GateConfig(Section):
    """One condition that a candidate must meet on the test split before it is pushed."""

    metric: str = Field(description="what is measured: on the test split, or on the exported model (docs/gates.md)")
    at: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="of `sensitivity_at_specificity` and `specificity_at_sensitivity`: what is held, such as 0.95",
    )
    of_class: str | None = Field(None, description="for a metric of one class: which; `*` makes one gate of each")
    min: float | None = Field(None, description="least value; with `relative_to`: least difference or ratio")
    max: float | None = Field(None, description="largest value; with `relative_to`: largest difference or ratio")
    relative_to: Literal["champion", "baseline", Baseline] | None = Field(
        None,
        description="compare with the latest pushed model (passes while there is none), with one baseline, or with "
        "`baseline`, the best of them but for a `teacher`",
    )
    compare: Literal["difference", "ratio"] = Field(
        "difference", description="with `relative_to`: candidate minus the other, or candidate divided by the other"
    )
    slice: dict[str, str | int | float] = Field(
        {},
        description="only these examples, such as `{label: rose}`; `*` makes one gate of each value, and `{span: "
        "ordinary}` takes the spans that `finetune retrain` has not found to drift",
    )
    min_examples: int = Field(1, ge=1, description="a smaller slice (or class) is not judged")
    on_missing: Literal["refuse", "tell"] = Field(
        "refuse",
        description="where the test split has no example of the class or slice: `refuse` the candidate, or `tell` that "
        "it was not judged there. `*` stands for every class that the model was trained on",
    )
    confidence: float | None = Field(
        None, gt=0.5, lt=1, description="such as 0.95: hold an end of the interval against the bound, not the point"
    )
    refuse_when: Literal["unproven", "disproven"] | None = Field(
        None,
        description="with `confidence`: unless the whole interval meets the bound, or only if none of it does. "
        "Default: `disproven` relative to the champion, else `unproven`",
    )

    first_only: bool = Field(
        False, description="ask this of a first model alone: while there is a champion the gate is not judged"
    )

    @model_validator(mode="after")
    def _one_bound(self) -> GateConfig:
        if (self.min is None) == (self.max is None):
            raise ValueError("expected exactly one of `min` and `max`")
        return self

    @model_validator(mode="after")
    def _keys_go_together(self) -> GateConfig:
        if self.compare == "ratio" and self.relative_to is None:
            raise ValueError("compare: expected `relative_to` beside a ratio")
        if self.first_only and self.relative_to == "champion":
            raise ValueError("first_only: got true with `relative_to: champion`, and a first model has no champion")
        if self.refuse_when and self.confidence is None:
            raise ValueError("refuse_when: expected `confidence` beside it")
        return self

    @property
    def refuses_when(self) -> str:
        """`refuse_when`, with its default filled in."""
        return self.refuse_when or ("disproven" if self.relative_to == "champion" else "unproven")

    @property
    def name(self) -> str:
        """The gate as a sentence part, such as ``accuracy >= 0.85 on label=rose``."""
        sign, bound = (">=", self.min) if self.min is not None else ("<=", self.max)
        metric = self.metric if self.at is None else f"{self.metric} {self.at:g}"
        metric = f"{metric} of {self.of_class}" if self.of_class else metric
        where = " on " + ", ".join(f"{key}={value}" for key, value in self.slice.items()) if self.slice else ""
        sure = f" at {100 * self.confidence:g} %" if self.confidence else ""
        if self.relative_to is None:
            return f"{metric} {sign} {bound:g}{where}{sure}"
        other = self.relative_to.replace("_", " ")
        if self.compare == "ratio":
            return f"{metric} / {other} {sign} {bound:g}{where}{sure}"
        return f"{metric} - {other} {sign} {bound:+g}{where}{sure}"


class ThresholdConfig(Section):
    """From which probability on a model of two classes says one of them: where a metric is best on validation."""

    of_class: str = Field(description="the class that is looked for, such as `spam`; the other one is said below")
    metric: Literal["sensitivity_at_specificity", "specificity_at_sensitivity", "f1", "expected_cost"] = Field(
        description="what is best there. `f1` is that of the class, `expected_cost` goes by `evaluation.costs`"
    )
    at: float | None = Field(
        None, gt=0, lt=1, description="of the first two metrics: the specificity or sensitivity to hold, such as 0.95"
    )

    @model_validator(mode="after")
    def _holds_what_its_metric_does(self) -> ThresholdConfig:
        if ("_at_" in self.metric) != (self.at is not None):
            expected = "what is held, such as 0.95" if self.at is None else "none"
            raise ValueError(f"at: got {self.at}; expected {expected} beside {self.metric}")
        return self


class EvaluationConfig(Section):
    """What a candidate must show before it is pushed."""

    gates: list[GateConfig] | None = Field(
        None,
        description="conditions on the test split; all must hold. Default, by accuracy (`multi_label`: micro F1) at "
        "95 %: a first model is better than `majority` and not shown to be worse than `logistic_regression`; a later "
        "one is shown to be at most 0.01 below the champion (at 90 % with `promotion_risk: null`), and where data "
        "come in spans at most 0.04 on those that have not drifted",
    )
    promotion_risk: float | None = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="over all candidates that the same test examples judge: the risk that gates with `relative_to: "
        "champion`, `confidence` and `refuse_when: unproven` let one out that they should stop. Each candidate takes a "
        "smaller share, so that it must show more (docs/gates.md). `null` judges each as if it were the first: the "
        "default where data come in spans, which bring test examples that have judged nothing yet",
    )
    mode: Literal["enforce", "report_only"] = Field(
        "enforce", description="`report_only` pushes whatever the gates say, and marks what is pushed"
    )
    approval: Literal["none", "required"] = Field(
        "none", description="`required`: what passes every gate waits until `finetune approve RUN`"
    )
    baselines: list[Baseline] = Field(
        ["majority", "logistic_regression"],
        description="scored beside the candidate. `majority`: always the most frequent class of train; "
        "`logistic_regression`: on the features of the frozen backbone; `from_scratch`: the same network, trained "
        "from random weights on the same examples; `teacher`: that of `training.distillation`, which is served and "
        "timed beside the candidate as well. Default with `gates` of your own, with boxes, masks or two networks: "
        "`[majority]`",
    )
    threshold: ThresholdConfig | None = Field(
        None,
        description="of `single_label` with two classes: how the served label is decided. Default: the most probable "
        "class. (`multi_label` chooses a threshold for each label by F1.)",
    )
    costs: dict[str, dict[str, float]] = Field(
        {},
        description="of `expected_cost`: what it costs to say another class than the true one, true class first, such "
        "as `{spam: {ham: 1}, ham: {spam: 20}}`. A mistake that is not listed costs 1",
    )
    source_task: LocalPath | None = Field(
        None,
        description="folder of an earlier task of the backbone, with one label an example, in any layout of "
        "`data.root`: linear probes measure what its features still give for that task after training, and a gate may "
        "ask for it (metric `source_retention`)",
    )
    slices: list[list[str]] | None = Field(
        None,
        description="what the report cuts the test split by: each one column or a cross of two. "
        "Default: `label`, each of `data.slice_columns`, and `span` where data come in spans",
    )

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_asked_for(cls, section: Any) -> Any:
        """A linear model takes time that gates which do not ask for one need not pay."""
        if isinstance(section, dict) and section.get("gates") is not None and "baselines" not in section:
            return {**section, "baselines": ["majority"]}
        return section

    @field_validator("gates")
    @classmethod
    def _at_least_one(cls, gates: list[GateConfig] | None) -> list[GateConfig] | None:
        if gates is None:
            return None
        if not gates:
            raise ValueError("expected at least one gate; without one nothing could be blessed")
        names = [gate.name for gate in gates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected gates that differ; twice: {'; '.join(twice)}")
        return gates

    @field_validator("costs")
    @classmethod
    def _mistakes_cost(cls, costs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for actual, of_said in costs.items():
            for said, cost in of_said.items():
                if not 0 <= cost < math.inf or actual == said:
                    expected = "no cost of what is right" if actual == said else "a number from 0 on"
                    raise ValueError(f"{actual}.{said}: got {cost:g}; expected {expected}")
        return costs

    @field_validator("slices")
    @classmethod
    def _one_or_two_columns(cls, slices: list[list[str]] | None) -> list[list[str]] | None:
        for columns in slices or []:
            if len(columns) not in (1, 2) or len(set(columns)) < len(columns):
                raise ValueError(f"expected one column or two different ones in each, and got {columns}")
        return slices

    @model_validator(mode="after")
    def _threshold_has_costs(self) -> EvaluationConfig:
        if self.threshold and self.threshold.metric == "expected_cost" and not self.costs:
            raise ValueError("threshold.metric: got `expected_cost`; expected what mistakes cost in `costs` beside it")
        return self

    @model_validator(mode="after")
    def _baselines_are_scored(self) -> EvaluationConfig:
        for gate in self.gates or []:
            if gate.relative_to == "baseline" and not self.baselines:
                raise ValueError(f"gate `{gate.name}`: expected a baseline to compare with; `baselines` is empty")
            if gate.relative_to in BASELINES and gate.relative_to not in self.baselines:
                raise ValueError(f"gate `{gate.name}`: expected {gate.relative_to} to be listed in `baselines`")
        return self

    def columns(self) -> set[str]:
        """Every column that a gate or a slice of the report names."""
        return {column for gate in self.gates or [] for column in gate.slice}.union(*(self.slices or []))

    def report_slices(self, slice_columns: list[str]) -> list[list[str]]:
        """What the report cuts the test split by."""
        return [["label"], *([column] for column in slice_columns)] if self.slices is None else self.slices

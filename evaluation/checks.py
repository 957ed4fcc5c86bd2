"""Checks of a raw config against what can be measured."""

from __future__ import annotations

from typing import Any

from evaluation.metrics import METRICS, Metric, metrics_of
from evaluation.metrics.cost import EXPECTED_COST
from evaluation.metrics.retention import RETENTION
from evaluation.metrics.retrieval import RECALLS
from evaluation.metrics.source import SOURCE_RETENTION
from evaluation.predictions import SINGLE_LABEL
from evaluation.tasks import TASKS, task_of
from finetune.config.evaluation import TEACHER
from finetune.config.fusion import CONTRASTIVE
from finetune.config.keys import value_at
from finetune.errors import did_you_mean

_OF_EXAMPLES = ("slice", "confidence", "min_examples", "on_missing", "refuse_when", "first_only")


def gates_can_be_measured(raw: dict[str, Any]) -> list[str]:
    """Each gate's metric exists, is one of the task, and goes with the gate's other keys."""
    gates = value_at(raw, "evaluation.gates")
    task = task_of(raw)
    if task not in TASKS:
        return []
    return [
        f"evaluation.gates[{place}]{problem}"
        for place, gate in enumerate(gates if isinstance(gates, list) else [])
        if isinstance(gate, dict) and isinstance(gate.get("metric"), str)
        for problem in [*_problems(gate, task), *_without_what_it_needs(gate["metric"], raw)]
    ]


def tuning_can_be_measured(raw: dict[str, Any]) -> list[str]:
    """The metric that trials are compared by is one of predictions, of the task, and goes with its other keys."""
    tuning, task = raw.get("tuning"), task_of(raw)
    if task not in TASKS or not isinstance(tuning, dict) or not isinstance(tuning.get("metric"), str):
        return []
    name = tuning["metric"]
    if name in METRICS and (METRICS[name].of_model or name == RETENTION.name):
        why = _where(METRICS[name]) if METRICS[name].of_model else "compares with the champion"
        return [f"tuning.metric: got {name!r}, which {why}; expected a metric of the validation split, such as loss"]
    if name not in METRICS:
        known = [each for each in metrics_of(task) if each != RETENTION.name]
        return [f"tuning.metric: got {name!r}; expected one of {', '.join(known)}.{did_you_mean(name, known)}"]
    problems = [*_problems(tuning, task), *_without_what_it_needs(name, raw)]
    if tuning.get("of_class") == "*":
        problems = [".of_class: got '*'; expected the name of one class"]
    return [f"tuning{problem}" for problem in problems]


def decisions_go_with_task(raw: dict[str, Any]) -> list[str]:
    """Thresholds and costs are of one label an example."""
    task = task_of(raw)
    if task not in TASKS or TASKS[task].measured_as == SINGLE_LABEL:
        return []
    why = {
        "threshold": f"{task} chooses a threshold for each label already",
        "costs": f"{task} has no `expected_cost`; a label's weight under training.class_weights makes it dear",
    }
    return [
        f"evaluation.{key}: got {given!r}; {reason}. Leave it out"
        for key, reason in why.items()
        if (given := value_at(raw, f"evaluation.{key}"))
    ]


def _without_what_it_needs(metric: str, raw: dict[str, Any]) -> list[str]:
    """Says what else in a config a metric needs, where it is not there."""
    if metric == EXPECTED_COST.name and not value_at(raw, "evaluation.costs"):
        wants = "what mistakes cost in evaluation.costs, such as {spam: {ham: 10}}"
        return [f".metric: got {metric!r}; expected {wants}"]
    if metric == SOURCE_RETENTION.name and not value_at(raw, "evaluation.source_task"):
        wants = "the folder of an earlier task in evaluation.source_task"
        return [f".metric: got {metric!r}; expected {wants}, or another metric"]
    fusion = value_at(raw, "training.fusion")
    if metric in (each.name for each in RECALLS) and CONTRASTIVE not in (fusion, value_at(raw, "training.fusion.name")):
        return [f".metric: got {metric!r}; expected `backbones` and `training.fusion: contrastive`, or another metric"]
    return []


def _problems(gate: dict[str, Any], task: str) -> list[str]:
    name = gate["metric"]
    known = metrics_of(task) | {each.name: each for each in METRICS.values() if each.of_model}
    if name in known:
        metric = known[name]
        return _about_model(gate) if metric.of_model else _about_classes(gate, metric) + _about_points(gate, metric)
    why = f", which is for task {' or '.join(METRICS[name].tasks)}" if name in METRICS else ""
    return [f".metric: got {name!r}{why}; expected one of {', '.join(known)}.{did_you_mean(name, known)}"]


def _about_model(gate: dict[str, Any]) -> list[str]:
    name, metric = gate["metric"], METRICS[gate["metric"]]
    kind = f"{_where(metric)}, not on test examples"
    # Of the source task there are examples too, and so an interval.
    judged_by = ("confidence", "refuse_when") if metric.of_source else ()
    problems = [
        f".{key}: got {gate[key]!r}; {name} {kind}. Leave it out"
        for key in ("of_class", "at", *_OF_EXAMPLES)
        if gate.get(key) not in (None, {}) and key not in judged_by
    ]
    if metric.of_source and gate.get("relative_to") is not None:
        beside = "which compares with the pretrained backbone already"
        problems.append(f".relative_to: got {gate['relative_to']!r}; {name} {kind}, {beside}. Leave it out")
        return problems
    if gate.get("relative_to") not in (None, "champion", TEACHER):
        problems.append(
            f".relative_to: got {gate['relative_to']!r}; {name} {kind}, and baselines that are trained to compare with "
            "are not served. Expected champion or teacher"
        )
    return problems


def _where(metric: Metric) -> str:
    return "is measured on evaluation.source_task" if metric.of_source else "is measured on the exported model"


def _about_classes(gate: dict[str, Any], metric: Metric) -> list[str]:
    of_class = gate.get("of_class")
    if of_class is None and metric.overall is None:
        return [f".of_class: missing; {metric.name} is measured of one class. Expected its name, or '*' for each"]
    if of_class is not None and metric.per_class is None:
        fitting = [name for name, each in METRICS.items() if each.per_class and set(each.tasks) & set(metric.tasks)]
        return [
            f".of_class: got {of_class!r}; {metric.name} is measured over all classes. Leave it out, or take "
            f"{' or '.join(fitting)}"
        ]
    return []


def _about_points(gate: dict[str, Any], metric: Metric) -> list[str]:
    at = gate.get("at")
    if metric.at is None and at is not None:
        fitting = [name for name, each in METRICS.items() if each.at]
        return [f".at: got {at!r}; {metric.name} holds nothing. Leave it out, or take {' or '.join(fitting)}"]
    if metric.at is not None and at is None:
        return [f".at: missing; expected what {metric.name} holds, such as 0.95"]
    return []

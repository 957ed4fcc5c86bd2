"""Gates as TFMA thresholds."""

from __future__ import annotations

import json
from collections.abc import Sequence

# What TFMA 0.52 builds its messages from, without importing it.
from google.protobuf import wrappers_pb2  # noqa: F401
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.tasks import TASKS
from evaluation.gates import ROUNDING, SliceKey, slice_key
from evaluation.metrics import METRICS, Metric, metrics_of
from finetune.config.evaluation import EACH, GateConfig, is_ordinary
from transforms.tasks import TASKS as TRANSFORM_TASKS

CANDIDATE = "candidate"
CHAMPION = "champion"

# Imported by TFMA when it measures: with it come all metrics of TFMA's own.
REFERENCE_METRIC = {"class_name": "ReferenceMetric", "module": "components.evaluator.reference_metric"}


def in_tfma(metric: Metric) -> bool:
    """Whether the Evaluator measures a metric: by TFMA's own, or by scikit-learn from what TFMA predicted."""
    return bool(metric.tfma or metric.reference)


def tfma_decides(gate: GateConfig) -> bool:
    """Whether a gate can be a threshold of TFMA, which knows no intervals, baselines, classes or smallest slices.

    Nor does it find the examples of a slice whose value reads as a number, such as `span: 7`, or which decisions name.
    """
    return (
        in_tfma(METRICS[gate.metric])
        and gate.of_class is None
        and gate.relative_to in (None, "champion")
        and not gate.first_only
        # Where all of an interval must meet the bound, the value must too.
        and (gate.confidence is None or gate.refuses_when == "unproven")
        and gate.min_examples == 1
        and gate.on_missing == "refuse"
        and EACH not in gate.slice.values()
        and not any(is_ordinary(*each) for each in gate.slice.items())
        and not any(map(_reads_as_number, gate.slice.values()))
    )


def _reads_as_number(value: str | int | float) -> bool:
    """Whether TFMA takes the value of a slice for a number, which the text in our examples never equals."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def eval_config(task: str, gates: Sequence[GateConfig], slices: Sequence[Sequence[str]]) -> config_pb2.EvalConfig:
    """Builds what TFX's Evaluator computes and blesses by.

    Args:
        task: Its name.
        gates: Each that TFMA can decide becomes a value threshold or, relative to the champion, a change threshold.
        slices: Raw features to slice by, each one or a cross of several, beside the slices that gates name.

    Returns:
        A config with a candidate and a baseline model; TFMA drops the baseline, and with it the change thresholds,
        when the Evaluator is given no champion.
    """
    specs = [
        config_pb2.ModelSpec(
            name=name,
            # Without it, TFMA would load every model as one of Keras first, to see whether that works.
            model_type=constants.TF_GENERIC,
            is_baseline=name == CHAMPION,
            signature_name="serving_default",
            preprocessing_function_names=["transform_features"],
            label_key=TRANSFORM_TASKS[task].key,
            prediction_key="probabilities",
        )
        for name in (CANDIDATE, CHAMPION)
    ]
    metrics = [
        config_pb2.MetricConfig(
            **_class(metric, task),
            **_thresholds([gate for gate in gates if gate.metric == metric.name and tfma_decides(gate)]),
        )
        for metric in metrics_of(task).values()
        if in_tfma(metric)
    ]
    metrics += [config_pb2.MetricConfig(class_name=name) for name in (*TASKS[task].plots, "ExampleCount")]
    gate_slices = {slice_key(gate.slice) for gate in gates if gate.slice and tfma_decides(gate)}
    slicing = [
        config_pb2.SlicingSpec(),
        *(config_pb2.SlicingSpec(feature_keys=list(columns)) for columns in slices),
        *(config_pb2.SlicingSpec(feature_values=dict(key)) for key in sorted(gate_slices)),
    ]
    return config_pb2.EvalConfig(
        model_specs=specs, metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)], slicing_specs=slicing
    )


def _class(metric: Metric, task: str) -> dict[str, str]:
    if metric.tfma:
        arguments = {"name": metric.name, **metric.tfma.config}
        return {"class_name": metric.tfma.class_name, "config": json.dumps(arguments)[1:-1]}
    return {**REFERENCE_METRIC, "config": json.dumps({"name": metric.name, "task": task})[1:-1]}


def _thresholds(gates: Sequence[GateConfig]) -> dict[str, list[config_pb2.PerSliceMetricThreshold]]:
    """TFMA holds one value and one change threshold for each metric and slice, so bounds of one kind are merged."""
    by_slice: dict[SliceKey, list[GateConfig]] = {}
    for gate in gates:
        by_slice.setdefault(slice_key(gate.slice), []).append(gate)
    # Also those over all examples: what TFMA calls `threshold` it holds against every slice.
    return {
        "per_slice_thresholds": [
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec(feature_values=dict(key))], threshold=_threshold(group)
            )
            for key, group in by_slice.items()
        ]
    }


def _threshold(gates: Sequence[GateConfig]) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    floors = [gate.min for gate in gates if gate.min is not None and not gate.relative_to]
    ceilings = [gate.max for gate in gates if gate.max is not None and not gate.relative_to]
    if floors:
        threshold.value_threshold.lower_bound.value = max(floors) - ROUNDING
    if ceilings:
        threshold.value_threshold.upper_bound.value = min(ceilings) + ROUNDING
    relative = [gate for gate in gates if gate.relative_to]
    # A change threshold has one direction: `min` gates have it when there are both, and our judge has all of them.
    rising = [gate for gate in relative if gate.min is not None]
    change = threshold.change_threshold
    for gate in rising or relative:
        bound = gate.min - ROUNDING if gate.min is not None else (gate.max or 0.0) + ROUNDING
        stricter = max if rising else min
        change.direction = (
            config_pb2.MetricDirection.HIGHER_IS_BETTER if rising else config_pb2.MetricDirection.LOWER_IS_BETTER
        )
        # TFMA's relative change is the difference over the baseline: a ratio less one.
        kind, bound = ("relative", bound - 1) if gate.compare == "ratio" else ("absolute", bound)
        held = getattr(change, kind)
        held.value = stricter(held.value, bound) if change.HasField(kind) else bound
    return threshold

"""Gates as TFMA thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import DoubleValue

from components.evaluation.gates import slice_key
from pipeline.config import GateConfig
from transforms import features

CANDIDATE = "candidate"
CHAMPION = "champion"

_METRIC_CLASSES = {
    "accuracy": ("SparseCategoricalAccuracy", ""),
    "loss": ("SparseCategoricalCrossentropy", ""),
    "macro_f1": ("MacroF1", "components.evaluation.macro_f1"),
}


def eval_config(gates: Sequence[GateConfig], slice_columns: Sequence[str]) -> tfma.EvalConfig:
    """Builds what TFX's Evaluator computes and blesses by.

    Args:
        gates: Each becomes a value threshold or, relative to the champion, a change threshold.
        slice_columns: Raw features to slice by, beside the slices that gates name.

    Returns:
        A config with a candidate and a baseline model; TFMA drops the baseline, and with it the change thresholds,
        when the Evaluator is given no champion.
    """
    specs = [
        tfma.ModelSpec(
            name=name,
            is_baseline=name == CHAMPION,
            signature_name="serving_default",
            preprocessing_function_names=["transform_features"],
            label_key=features.LABEL_INDEX,
            prediction_key="probabilities",
        )
        for name in (CANDIDATE, CHAMPION)
    ]
    metrics = [
        tfma.MetricConfig(
            class_name=class_name,
            module=module,
            config=f'"name": "{metric}"',
            **_thresholds([gate for gate in gates if gate.metric == metric]),
        )
        for metric, (class_name, module) in _METRIC_CLASSES.items()
    ]
    metrics.append(tfma.MetricConfig(class_name="ExampleCount"))
    gate_slices = {slice_key(gate.slice) for gate in gates if gate.slice}
    slices = [
        tfma.SlicingSpec(),
        *(tfma.SlicingSpec(feature_keys=[column]) for column in slice_columns),
        *(tfma.SlicingSpec(feature_values=dict(key)) for key in sorted(gate_slices)),
    ]
    return tfma.EvalConfig(model_specs=specs, metrics_specs=[tfma.MetricsSpec(metrics=metrics)], slicing_specs=slices)


def _thresholds(gates: Sequence[GateConfig]) -> dict:
    """TFMA holds one value and one change threshold for each metric and slice, so bounds of one kind are merged."""
    by_slice: dict[tuple, list[GateConfig]] = {}
    for gate in gates:
        by_slice.setdefault(slice_key(gate.slice), []).append(gate)
    result: dict = {}
    for key, group in by_slice.items():
        threshold = tfma.MetricThreshold()
        for gate in group:
            _add_bound(threshold, gate)
        if not key:
            result["threshold"] = threshold
        else:
            result.setdefault("per_slice_thresholds", []).append(
                tfma.PerSliceMetricThreshold(
                    slicing_specs=[tfma.SlicingSpec(feature_values=dict(key))], threshold=threshold
                )
            )
    return result


def _add_bound(threshold: tfma.MetricThreshold, gate: GateConfig) -> None:
    if gate.relative_to:
        bound, direction = (
            (gate.min, tfma.MetricDirection.HIGHER_IS_BETTER)
            if gate.min is not None
            else (gate.max, tfma.MetricDirection.LOWER_IS_BETTER)
        )
        threshold.change_threshold.absolute.value = bound
        threshold.change_threshold.direction = direction
    elif gate.min is not None:
        held = threshold.value_threshold.lower_bound
        held.CopyFrom(
            DoubleValue(
                value=max(gate.min, held.value) if threshold.value_threshold.HasField("lower_bound") else gate.min
            )
        )
    else:
        held = threshold.value_threshold.upper_bound
        held.CopyFrom(
            DoubleValue(
                value=min(gate.max, held.value) if threshold.value_threshold.HasField("upper_bound") else gate.max
            )
        )

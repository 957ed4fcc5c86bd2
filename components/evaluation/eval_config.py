"""Gates as TFMA thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.gates import slice_key
from pipeline.config import GateConfig
from transforms import features

CANDIDATE = "candidate"
CHAMPION = "champion"

# Name in the config to TFMA's class, and the module of those that are ours.
METRICS = {
    "accuracy": ("SparseCategoricalAccuracy", ""),
    "loss": ("SparseCategoricalCrossentropy", ""),
    "macro_f1": ("MacroF1", "components.evaluation.macro_f1"),
}


def eval_config(gates: Sequence[GateConfig], slice_columns: Sequence[str]) -> config_pb2.EvalConfig:
    """Builds what TFX's Evaluator computes and blesses by.

    Args:
        gates: Each becomes a value threshold or, relative to the champion, a change threshold.
        slice_columns: Raw features to slice by, beside the slices that gates name.

    Returns:
        A config with a candidate and a baseline model; TFMA drops the baseline, and with it the change thresholds,
        when the Evaluator is given no champion.
    """
    specs = [
        config_pb2.ModelSpec(
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
        config_pb2.MetricConfig(
            class_name=class_name,
            module=module,
            config=f'"name": "{metric}"',
            **_thresholds([gate for gate in gates if gate.metric == metric]),
        )
        for metric, (class_name, module) in METRICS.items()
    ]
    metrics.append(config_pb2.MetricConfig(class_name="ExampleCount"))
    gate_slices = {slice_key(gate.slice) for gate in gates if gate.slice}
    slices = [
        config_pb2.SlicingSpec(),
        *(config_pb2.SlicingSpec(feature_keys=[column]) for column in slice_columns),
        *(config_pb2.SlicingSpec(feature_values=dict(key)) for key in sorted(gate_slices)),
    ]
    return config_pb2.EvalConfig(
        model_specs=specs, metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)], slicing_specs=slices
    )


def _thresholds(gates: Sequence[GateConfig]) -> dict:
    """TFMA holds one value and one change threshold for each metric and slice, so bounds of one kind are merged."""
    by_slice: dict[tuple, list[GateConfig]] = {}
    for gate in gates:
        by_slice.setdefault(slice_key(gate.slice), []).append(gate)
    result: dict = {}
    for key, group in by_slice.items():
        threshold = _threshold(group)
        if not key:
            result["threshold"] = threshold
        else:
            result.setdefault("per_slice_thresholds", []).append(
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=[config_pb2.SlicingSpec(feature_values=dict(key))], threshold=threshold
                )
            )
    return result


def _threshold(gates: Sequence[GateConfig]) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    floors = [gate.min for gate in gates if gate.min is not None and not gate.relative_to]
    ceilings = [gate.max for gate in gates if gate.max is not None and not gate.relative_to]
    if floors:
        threshold.value_threshold.lower_bound.value = max(floors)
    if ceilings:
        threshold.value_threshold.upper_bound.value = min(ceilings)
    for gate in gates:
        if gate.relative_to and gate.min is not None:
            threshold.change_threshold.absolute.value = gate.min
            threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        elif gate.relative_to:
            threshold.change_threshold.absolute.value = gate.max
            threshold.change_threshold.direction = config_pb2.MetricDirection.LOWER_IS_BETTER
    return threshold

"""The metrics: one object each, in one table. One more is one file, or a place among its family, and a line here."""

from __future__ import annotations

from evaluation.metrics import (
    accuracy,
    boxes,
    calibration,
    cost,
    f1,
    operating_points,
    pixels,
    ranking,
    retention,
    retrieval,
    serving,
    source,
)
from evaluation.metrics.metric import Metric, TfmaMetric
from evaluation.tasks import TASKS
from finetune.config.evaluation import GateConfig

__all__ = ["METRICS", "Metric", "TfmaMetric", "metric_of", "metrics_of"]

# In the order in which they are shown.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        accuracy.ACCURACY,
        f1.MICRO_F1,
        f1.MACRO_F1,
        f1.WEIGHTED_F1,
        ranking.MEAN_AVERAGE_PRECISION,
        ranking.AUC,
        ranking.PR_AUC,
        accuracy.top_k(3),
        accuracy.top_k(5),
        *retrieval.RECALLS,
        accuracy.EXACT_MATCH,
        accuracy.HAMMING_LOSS,
        calibration.ECE,
        calibration.BRIER,
        calibration.LOSS,
        cost.EXPECTED_COST,
        boxes.BOX_MAP,
        boxes.BOX_MAP_50,
        boxes.BOX_MAP_75,
        *boxes.OF_SIZES,
        pixels.MEAN_IOU,
        pixels.DICE,
        pixels.PIXEL_ACCURACY,
        retention.RETENTION,
        f1.PRECISION,
        f1.RECALL,
        f1.SPECIFICITY,
        f1.F1,
        operating_points.sensitivity_at_specificity(),
        operating_points.specificity_at_sensitivity(),
        serving.LOAD_SECONDS,
        *serving.LATENCIES,
        *serving.THROUGHPUTS,
        serving.PEAK_MEMORY_MB,
        serving.SIZE_MB,
        serving.PARITY,
        source.SOURCE_RETENTION,
    )
}


def metric_of(gate: GateConfig) -> Metric:
    """The metric that a gate asks for, where it holds what the gate's `at` says."""
    metric = METRICS[gate.metric]
    return metric if gate.at is None or metric.at is None else metric.at(gate.at)


def metrics_of(task: str) -> dict[str, Metric]:
    """The metrics of a task's predictions, by name."""
    kind = TASKS[task].measured_as
    return {name: metric for name, metric in METRICS.items() if kind in metric.tasks and not metric.of_model}

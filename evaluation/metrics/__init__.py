"""The metrics: one object each, in one table. One more is one file, or a place among its family, and a line here."""

from __future__ import annotations

from evaluation.metrics import accuracy, calibration, f1, ranking, serving
from evaluation.metrics.metric import Metric, TfmaMetric
from evaluation.tasks import TASKS

__all__ = ["METRICS", "Metric", "TfmaMetric", "metrics_of"]

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
        accuracy.EXACT_MATCH,
        accuracy.HAMMING_LOSS,
        calibration.ECE,
        calibration.BRIER,
        calibration.LOSS,
        f1.PRECISION,
        f1.RECALL,
        f1.F1,
        serving.LOAD_SECONDS,
        *serving.LATENCIES,
        *serving.THROUGHPUTS,
        serving.PEAK_MEMORY_MB,
        serving.SIZE_MB,
        serving.PARITY,
    )
}


def metrics_of(task: str) -> dict[str, Metric]:
    """The metrics of a task's predictions, by name."""
    kind = TASKS[task].measured_as
    return {name: metric for name, metric in METRICS.items() if kind in metric.tasks and not metric.of_model}

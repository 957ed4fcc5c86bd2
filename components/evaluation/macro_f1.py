"""Macro F1 as a TFMA metric: the mean over classes of F1, each class decided by the most probable label."""

from __future__ import annotations

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.metrics.multi_class_confusion_matrix_metrics import (
    Matrices,
    multi_class_confusion_matrices,
)

NAME = "macro_f1"


class MacroF1(tfma.metrics.Metric):
    """Mean F1 over the classes that are either present or predicted, as scikit-learn's `f1_score(average="macro")`."""

    def __init__(self, name: str = NAME):
        super().__init__(metric_util.merge_per_key_computations(_macro_f1), name=name)


def _macro_f1(
    name: str = NAME, eval_config=None, model_name: str = "", output_name: str = "", example_weighted: bool = False
):
    computations = multi_class_confusion_matrices(
        thresholds=[0.0],
        eval_config=eval_config,
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )
    matrices_key = computations[-1].keys[-1]
    key = metric_types.MetricKey(
        name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )

    def result(metrics: dict[metric_types.MetricKey, Matrices]) -> dict[metric_types.MetricKey, float]:
        (counts,) = metrics[matrices_key].values()
        return {key: macro_f1(counts)}

    return [*computations, metric_types.DerivedMetricComputation(keys=[key], result=result)]


def macro_f1(counts: dict[tuple[int, int], float]) -> float:
    """Mean F1 over classes.

    Args:
        counts: (actual class, predicted class) to a number of examples.

    Returns:
        In [0, 1]; per class F1 = 2 TP / (2 TP + FP + FN).
    """
    actual: dict[int, float] = {}
    predicted: dict[int, float] = {}
    for (row, column), count in counts.items():
        actual[row] = actual.get(row, 0.0) + count
        predicted[column] = predicted.get(column, 0.0) + count
    classes = [c for c in actual.keys() | predicted.keys() if actual.get(c, 0.0) + predicted.get(c, 0.0) > 0]
    scores = [2 * counts.get((c, c), 0.0) / (actual.get(c, 0.0) + predicted.get(c, 0.0)) for c in classes]
    return float(sum(scores) / len(scores)) if scores else float("nan")

"""Metrics that TFMA lacks: it reads, predicts and slices, and scikit-learn measures.

So the Evaluator shares neither the predictions nor the formula of what `evaluation` measures, and can disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.tasks import TASKS, EvaluatorTask
from evaluation.metrics import METRICS
from evaluation.predictions import Predictions

# TFMA keeps what begins with an underscore to itself.
_PREDICTIONS = "_predictions"
# Of each example label, probabilities and, where the task has it, what the model decided.
Collected = list[tuple[np.ndarray, ...]]


class ReferenceMetric(tfma.metrics.Metric):
    """The metric of the same name in `evaluation.metrics`, as its `reference` computes it."""

    def __init__(self, name: str, task: str):
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name, task=task)


def _computations(
    name: str,
    task: str,
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> list[Any]:
    collected, predictions_key = _collected(TASKS[task], eval_config, model_name, output_name, example_weighted)
    key = metric_types.MetricKey(name, model_name, output_name, example_weighted=example_weighted)

    reference = METRICS[name].reference
    assert reference is not None, f"{name} is measured by TFMA"

    def result(metrics: dict[metric_types.MetricKey, Predictions]) -> dict[metric_types.MetricKey, float]:
        return {key: reference(metrics[predictions_key])}

    return [collected, metric_types.DerivedMetricComputation(keys=[key], result=result)]


def _collected(
    task: EvaluatorTask, eval_config: Any, model_name: str, output_name: str, example_weighted: bool
) -> tuple[Any, Any]:
    key = metric_types.MetricKey(_PREDICTIONS, model_name, output_name, example_weighted=example_weighted)
    return metric_types.MetricComputation(
        keys=[key], preprocessors=None, combiner=_Collect(task, key, eval_config, example_weighted)
    ), key


class _Collect(beam.CombineFn):
    """Keeps labels and answers for each example of a slice: a ranking needs them all."""

    def __init__(self, task: EvaluatorTask, key: metric_types.MetricKey, eval_config: Any, example_weighted: bool):
        self._task = task
        self._key = key
        self._eval_config = eval_config
        self._example_weighted = example_weighted

    def create_accumulator(self) -> Collected:
        return []

    def add_input(self, accumulator: Collected, element: metric_types.StandardMetricInputs) -> Collected:
        label, probabilities, _ = next(
            metric_util.to_label_prediction_example_weight(
                element,
                eval_config=self._eval_config,
                model_name=self._key.model_name,
                output_name=self._key.output_name,
                example_weighted=self._example_weighted,
                flatten=False,
                require_single_example_weight=True,
            )
        )
        found = [np.asarray(label), np.asarray(probabilities, dtype=np.float32)]
        if self._task.said:
            outputs = element.get_predictions(self._key.model_name, self._key.output_name)
            found.append(np.asarray(outputs[self._task.said]))
        accumulator.append(tuple(found))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Collected]) -> Collected:
        return [example for accumulator in accumulators for example in accumulator]

    def extract_output(self, accumulator: Collected) -> dict[metric_types.MetricKey, Predictions]:
        labels, *answers = zip(*accumulator, strict=True)
        probabilities, *said = map(np.stack, answers)
        return {self._key: self._task.predictions(labels, probabilities, said[0] if said else None)}

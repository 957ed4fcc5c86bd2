"""Metrics that TFMA lacks: it reads, predicts and slices, and scikit-learn measures.

So the Evaluator shares neither the predictions nor the formula of what `evaluation` measures, and can disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.tasks import TASKS
from evaluation.metrics import metrics_of
from evaluation.metrics.references import Reference

# TFMA keeps what begins with an underscore to itself.
_SUMS = "_sums"
# Examples that are kept one by one before they are summed up.
BLOCK = 1000
_Example = tuple[np.ndarray, ...]


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
    sums_key, key = (
        metric_types.MetricKey(each, model_name, output_name, example_weighted=example_weighted)
        for each in (_SUMS, name)
    )
    # Equal for all metrics of a task, so that TFMA runs it once.
    summed = metric_types.MetricComputation(
        keys=[sums_key], preprocessors=None, combiner=_SumUp(task, sums_key, eval_config, example_weighted)
    )

    def result(metrics: dict[metric_types.MetricKey, dict[str, Any]]) -> dict[metric_types.MetricKey, float]:
        return {key: _references(task)[name].value(metrics[sums_key][name])}

    return [summed, metric_types.DerivedMetricComputation(keys=[key], result=result)]


def _references(task: str) -> dict[str, Reference]:
    return {name: metric.reference for name, metric in metrics_of(task).items() if metric.reference}


@dataclass
class _Seen:
    """Examples of a slice: some as they are (label, probabilities and what the model decided), and what the others add
    up to, by metric."""

    examples: list[_Example] = field(default_factory=list)
    sums: dict[str, Any] = field(default_factory=dict)

    def add(self, sums: Mapping[str, Any]) -> None:
        """Adds sums of other examples."""
        self.sums |= {name: self.sums[name] + one if name in self.sums else one for name, one in sums.items()}


class _SumUp(beam.CombineFn):
    """Sums up labels and answers of a slice, block by block, for all metrics by reference of a task."""

    def __init__(self, task: str, key: metric_types.MetricKey, eval_config: Any, example_weighted: bool):
        self._task = task
        self._key = key
        self._eval_config = eval_config
        self._example_weighted = example_weighted

    def create_accumulator(self) -> _Seen:
        return _Seen()

    def add_input(self, accumulator: _Seen, element: metric_types.StandardMetricInputs) -> _Seen:
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
        said = TASKS[self._task].said(element.get_predictions(self._key.model_name, self._key.output_name))
        accumulator.examples.append((np.asarray(label), np.asarray(probabilities, dtype=np.float32), said))
        return self.compact(accumulator) if len(accumulator.examples) >= BLOCK else accumulator

    def merge_accumulators(self, accumulators: Iterable[_Seen]) -> _Seen:
        merged = _Seen()
        for accumulator in accumulators:
            merged.add(accumulator.sums)
            merged.examples += accumulator.examples
            if len(merged.examples) >= BLOCK:
                merged = self.compact(merged)
        return merged

    def compact(self, accumulator: _Seen) -> _Seen:
        if not accumulator.examples:
            return accumulator
        labels, probabilities, said = zip(*accumulator.examples, strict=True)
        answered = TASKS[self._task].answered(labels, np.stack(probabilities), np.stack(said))
        summed = _Seen(sums=dict(accumulator.sums))
        summed.add({name: reference.sums(answered) for name, reference in _references(self._task).items()})
        return summed

    def extract_output(self, accumulator: _Seen) -> dict[metric_types.MetricKey, dict[str, Any]]:
        return {self._key: self.compact(accumulator).sums}

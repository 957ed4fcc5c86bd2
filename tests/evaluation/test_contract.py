"""Every metric of the table keeps the contract, and the contract sees a metric that does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.contract import check_metric
from evaluation.metrics import METRICS
from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.references import Reference, mean_of_examples
from evaluation.predictions import mean


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_every_metric_keeps_the_contract(metric):
    check_metric(metric)
    assert METRICS[metric.name] is metric


class Shifted(Bootstrap):
    """An interval beside its value."""

    def values(self, metric, predictions, confidence, columns):
        return [
            replace(found, low=found.high + 1e-3) for found in super().values(metric, predictions, confidence, columns)
        ]


LOSS, ACCURACY = METRICS["loss"], METRICS["accuracy"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(LOSS, higher_is_better=True), "above chance"),
        (replace(LOSS, bounds=(0.0, 1.0)), "left its bounds"),
        (replace(LOSS, interval=None), "expected an interval method"),
        (replace(LOSS, interval=Shifted()), "without its value"),
        (replace(LOSS, tasks=("ranking",)), "'ranking'; there are single_label, multi_label"),
        (replace(LOSS, reference=mean_of_examples(lambda predictions: 0.5)), "by reference 0.5"),
        (replace(LOSS, reference=Reference(LOSS.reference, lambda sums: sums)), "another in parts"),
        (replace(LOSS, overall=lambda predictions, weights: weights @ predictions.losses), "scale"),
        (replace(LOSS, overall=lambda predictions, weights: mean(weights > 0, predictions.losses)), "weight of two"),
        (
            replace(LOSS, overall=lambda predictions, weights: mean(weights, np.sort(predictions.losses))),
            "weight of two",
        ),
        (
            replace(LOSS, overall=lambda predictions, weights: np.full(len(weights), predictions.losses[0])),
            "order of the examples",
        ),
        (replace(ACCURACY, overall=lambda predictions, weights: mean(weights, predictions.correct)[:, None]), "array"),
        (replace(METRICS["size_mb"], interval=Bootstrap()), "whose interval is made where it is measured"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_metric_that_breaks_the_contract_is_told_so(broken, said):
    with pytest.raises(AssertionError, match=said):
        check_metric(broken)

"""Top-k accuracy."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Share
from evaluation.metrics.metric import Metric, TfmaMetric
from evaluation.predictions import SINGLE_LABEL, SingleLabel, mean


def top_k(k: int) -> Metric:
    """The accuracy of the k most probable classes."""

    def hits(predictions: SingleLabel, of_class: int | None = None) -> np.ndarray:
        truth = np.take_along_axis(predictions.probabilities, predictions.labels[:, np.newaxis], axis=1)
        return (predictions.probabilities > truth).sum(axis=1) < k

    def overall(predictions: SingleLabel, weights: np.ndarray) -> np.ndarray:
        if predictions.classes <= k:
            return np.full(len(weights), np.nan)
        return mean(weights, hits(predictions))

    return Metric(
        name=f"top_{k}_accuracy",
        label=f"top-{k} accuracy",
        meaning=f"share of examples whose true class has fewer than {k} others that are more probable",
        higher_is_better=True,
        tasks=(SINGLE_LABEL,),
        overall=overall,
        interval=Share(hits=hits, judged=lambda predictions, of_class: np.ones(len(predictions), dtype=bool)),
        undefined=f"where there are no more than {k} classes",
        tfma=TfmaMetric("SparseTopKCategoricalAccuracy", {"k": k}),
    )

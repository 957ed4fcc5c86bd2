"""The Hamming loss."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.predictions import MULTI_LABEL, MultiLabel, mean


def _overall(predictions: MultiLabel, weights: np.ndarray) -> np.ndarray:
    return mean(weights, (predictions.actual != predictions.said).mean(axis=1))


def _by_sklearn(predictions: MultiLabel) -> float:
    from sklearn.metrics import hamming_loss

    return float(hamming_loss(predictions.actual, predictions.said))


HAMMING_LOSS = Metric(
    name="hamming_loss",
    label="Hamming loss",
    meaning="share of all decisions, one for each label of each example, that are wrong; scikit-learn's `hamming_loss`",
    higher_is_better=False,
    tasks=(MULTI_LABEL,),
    overall=_overall,
    interval=Bootstrap(),
    advice="see in the report which labels are missed and which are said too often",
    reference=_by_sklearn,
)

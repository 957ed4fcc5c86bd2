"""What a model still knows of what the champion was to know."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Share
from evaluation.metrics.metric import Metric
from evaluation.predictions import Predictions


def _remembered(predictions: Predictions) -> np.ndarray:
    if predictions.remembered is None:
        return np.zeros(len(predictions), dtype=bool)
    return predictions.remembered


_SHARE_RIGHT = Share(lambda predictions, _: predictions.correct, lambda predictions, _: _remembered(predictions))
RETENTION = Metric(
    name="retention",
    label="retention",
    meaning="accuracy on the test examples of classes that the champion knows and, where data come in spans, of those "
    "before the latest (of several labels: all of them right); beside the champion it says what was forgotten "
    "(Lopez-Paz and Ranzato 2017, backward transfer)",
    higher_is_better=True,
    overall=_SHARE_RIGHT.overall,
    interval=_SHARE_RIGHT,
    undefined="where there is no champion, or no test example of what it knows",
    advice="train on earlier examples too (data.replay, or a wider data.window), or move less (training.warm_share, a "
    "lower rate)",
)

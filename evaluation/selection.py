"""What the best of many trials is worth: its score, less what choosing it on these very examples has added.

The best of many scores is too good wherever it was chosen by the same examples that it is measured on, the more so the
more trials there are and the fewer examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.metric import Metric
from evaluation.predictions import Predictions

REPLICATES = 500
# Of a metric whose every replicate takes all examples of all classes in turn.
SLOW_REPLICATES = 50
# Numbers of weights that are held at a time.
_HELD = 4_000_000


@dataclass(frozen=True)
class Selection:
    """What was measured of the best trial, and what is left of it on examples that did not choose it.

    Attributes:
        best: Number of the best trial.
        score: Its metric on all examples.
        nested: The metric that the best trial of a bootstrap sample has on the examples outside of it, mean over
            samples; NaN where it is undefined on all of them.
        chance: What choosing has added, by that estimate: how much better `score` is than `nested`, at least 0.
    """

    best: int
    score: float
    nested: float
    chance: float


def select(
    metric: Metric, trials: Iterable[Predictions], examples: int, seed: int, of_class: int | None = None
) -> Selection:
    """Chooses the best trial, and estimates without the bias of that choice what it is worth.

    The estimate is BBC-CV: Tsamardinos, Greasidou and Borboudakis 2018, "Bootstrapping the out-of-sample predictions
    for efficient and accurate cross-validation", algorithm 2, with the validation split for the folds. In each
    bootstrap sample the best trial is chosen anew and measured on the examples that are not in the sample.

    Args:
        metric: Of predictions.
        trials: Predictions of each trial on the same examples, at least one; read once.
        examples: How many examples there are.
        seed: Of the bootstrap.
        of_class: Class that the metric is of; None for one over all.
    """
    random = np.random.default_rng(seed)
    count = max(1, min(SLOW_REPLICATES if metric.slow else REPLICATES, _HELD // examples))
    inside = random.multinomial(examples, np.full(examples, 1 / examples), size=count).astype(np.float64)
    outside = (inside == 0).astype(np.float64)
    usable = outside.any(axis=1)
    inside, outside = inside[usable], outside[usable]
    columns = None if of_class is None else [of_class]
    scores, chosen_by, judged_by = [], [], []
    for predictions in trials:
        scores.append(metric.value(predictions, of_class))
        if len(inside):
            chosen_by.append(metric.replicates(predictions, inside, columns)[:, 0])
            judged_by.append(metric.replicates(predictions, outside, columns)[:, 0])
    best = best_of(metric, scores)
    if not len(inside):
        return Selection(best, scores[best], math.nan, math.nan)
    sign = 1.0 if metric.higher_is_better else -1.0
    chosen = np.where(np.isnan(chosen_by), -np.inf, sign * np.array(chosen_by)).argmax(axis=0)
    judged = np.array(judged_by)[chosen, np.arange(len(inside))]
    known = judged[~np.isnan(judged)]
    nested = float(known.mean()) if len(known) else math.nan
    return Selection(best, scores[best], nested, max(0.0, sign * (scores[best] - nested)))


def best_of(metric: Metric, scores: Iterable[float]) -> int:
    """Returns the place of the best score, the first of several; NaN is worse than any."""
    best, of_best = 0, math.nan
    for place, score in enumerate(scores):
        if metric.better(score, of_best):
            best, of_best = place, score
    return best

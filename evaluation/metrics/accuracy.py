"""Shares of examples, or of single decisions, that are right: accuracy, top-k accuracy, exact match, Hamming loss."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, share_of_examples
from evaluation.metrics.metric import Metric, TfmaMetric, mean_of
from evaluation.metrics.references import Answered, mean_of_examples
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, SingleLabel, mean


def _accuracy_by_sklearn(answered: Answered) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(answered.actual, answered.said))


def _hamming_loss_by_sklearn(answered: Answered) -> float:
    from sklearn.metrics import hamming_loss

    return float(hamming_loss(answered.actual, answered.said))


ACCURACY = Metric(
    name="accuracy",
    label="accuracy",
    meaning="share of examples of which the true class is said: the most probable one, or what `evaluation.threshold` "
    "makes of it",
    higher_is_better=True,
    tasks=(SINGLE_LABEL,),
    overall=mean_of(lambda predictions: predictions.correct),
    interval=share_of_examples(lambda predictions: predictions.correct),
    # TFMA's own looks at probabilities, and not at what is served.
    reference=mean_of_examples(_accuracy_by_sklearn),
)


def top_k(k: int) -> Metric:
    """The accuracy of the k most probable classes; of equally probable ones, the first count as more probable."""

    def hits(predictions: SingleLabel) -> np.ndarray:
        truth = np.take_along_axis(predictions.probabilities, predictions.labels[:, np.newaxis], axis=1)
        first = np.arange(predictions.classes) < predictions.labels[:, np.newaxis]
        before = (predictions.probabilities > truth) | ((predictions.probabilities == truth) & first)
        return before.sum(axis=1) < k

    def overall(predictions: SingleLabel, weights: np.ndarray) -> np.ndarray:
        return mean(weights, hits(predictions)) if predictions.classes > k else np.full(len(weights), np.nan)

    return Metric(
        name=f"top_{k}_accuracy",
        label=f"top-{k} accuracy",
        meaning=f"share of examples whose true class is among the {k} most probable",
        higher_is_better=True,
        tasks=(SINGLE_LABEL,),
        overall=overall,
        interval=share_of_examples(hits),
        undefined=f"where there are no more than {k} classes",
        tfma=TfmaMetric("SparseTopKCategoricalAccuracy", {"k": k}),
    )


EXACT_MATCH = Metric(
    name="exact_match",
    label="exact match",
    meaning="share of examples of which exactly the right labels are said; also called subset accuracy",
    higher_is_better=True,
    tasks=(MULTI_LABEL,),
    overall=ACCURACY.overall,
    interval=ACCURACY.interval,
    reference=mean_of_examples(_accuracy_by_sklearn),
)
HAMMING_LOSS = Metric(
    name="hamming_loss",
    label="Hamming loss",
    meaning="share of all decisions, one for each label of each example, that are wrong; scikit-learn's `hamming_loss`",
    higher_is_better=False,
    tasks=(MULTI_LABEL,),
    overall=mean_of(lambda predictions: (predictions.actual != predictions.said).mean(axis=1)),
    interval=Bootstrap(),
    advice="see in the report which labels are missed and which are said too often",
    reference=mean_of_examples(_hamming_loss_by_sklearn),
)

"""How true the probabilities are: calibration error with the bins of its diagram, Brier score, and the loss itself."""

from __future__ import annotations

import math

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap, CalibrationNoise
from evaluation.metrics.metric import Metric, mean_of
from evaluation.metrics.references import Answered, Reference, mean_of_examples
from evaluation.predictions import SINGLE_LABEL, Predictions, SingleLabel, sums

# Guo et al. 2017, "On calibration of modern neural networks", section 2.
CALIBRATION_BINS = 15


def _error(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    return np.abs(_gaps(predictions, weights)).sum(axis=1)


def _gaps(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    """What came true minus what was promised within each bin, by the bin's share of decisions: [replicates, bins]."""
    from scipy.sparse import csr_matrix

    promised, came_true = predictions.decisions
    gaps: np.ndarray = came_true - promised.astype(np.float64)
    examples = np.repeat(np.arange(len(predictions)), promised.shape[1])
    shape = CALIBRATION_BINS, len(predictions)
    within = sums(weights, csr_matrix((gaps.ravel(), (_bins(promised).ravel(), examples)), shape=shape))
    return within / (weights.sum(axis=1, keepdims=True) * promised.shape[1])


def _bins(probabilities: np.ndarray) -> np.ndarray:
    """Bin m holds probabilities in (m / bins, (m + 1) / bins]."""
    number = np.ceil(probabilities.astype(np.float64) * CALIBRATION_BINS).astype(int) - 1
    return np.clip(number, 0, CALIBRATION_BINS - 1)


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """The bins of a reliability diagram that hold decisions, from unsure to sure.

    Returns:
        For each `low`, `high`, `examples` (decisions: one an example, or one for each of its possible labels),
        `confidence` (mean probability) and `accuracy` (share that came true).
    """
    promised, came_true = (part.ravel() for part in predictions.decisions)
    bins = _bins(promised)
    return [
        {
            "low": number / CALIBRATION_BINS,
            "high": (number + 1) / CALIBRATION_BINS,
            "examples": int((bins == number).sum()),
            "confidence": float(promised[bins == number].mean()),
            "accuracy": float(came_true[bins == number].mean()),
        }
        for number in np.unique(bins).tolist()
    ]


def _bin_sums(answered: Answered) -> np.ndarray:
    """Decisions, what was promised and what came true within each bin: [3, bins]. scikit-learn gives means alone."""
    from sklearn.calibration import calibration_curve

    promised, came_true = answered.probabilities, answered.actual
    if answered.one_label:
        promised = promised.max(axis=1, keepdims=True)
        came_true = np.take_along_axis(came_true, answered.probabilities.argmax(axis=1)[:, np.newaxis], axis=1)
    promised, came_true = (part.ravel().astype(np.float64) for part in (promised, came_true))
    accuracy, confidence = calibration_curve(came_true, promised, n_bins=CALIBRATION_BINS)
    inner = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner, promised), minlength=CALIBRATION_BINS)
    sums = np.zeros((3, CALIBRATION_BINS))
    sums[:, counts > 0] = counts[counts > 0] * np.stack([np.ones(len(accuracy)), confidence, accuracy])
    return sums


def _error_by_bins(sums: np.ndarray) -> float:
    counts, promised, came_true = sums
    return float(np.abs(came_true - promised).sum() / counts.sum())


ECE = Metric(
    name="ece",
    label="calibration error",
    meaning="expected calibration error (Naeini et al. 2015): 15 bins of equal width (Guo et al. 2017), distance of "
    "accuracy and mean confidence; with several labels an example, of each one's probability and whether it is there",
    higher_is_better=False,
    overall=_error,
    interval=CalibrationNoise(_gaps),
    advice="label smoothing, fewer epochs or a smaller head: probabilities that are too sure come from overfitting",
    reference=Reference(_bin_sums, _error_by_bins),
)


def _distances(predictions: SingleLabel) -> np.ndarray:
    return ((predictions.probabilities.astype(np.float64) - predictions.actual) ** 2).sum(axis=1)


def _brier_by_sklearn(answered: Answered) -> float:
    from sklearn.metrics import mean_squared_error

    return float(answered.actual.shape[1] * mean_squared_error(answered.actual, answered.probabilities))


BRIER = Metric(
    name="brier",
    label="Brier score",
    meaning="squared distance of the probabilities to the truth, summed over classes, 0 to 2 (Brier 1950, "
    '"Verification of forecasts expressed in terms of probability", formula 2)',
    higher_is_better=False,
    tasks=(SINGLE_LABEL,),
    overall=mean_of(_distances),
    bounds=(0.0, 2.0),
    interval=Bootstrap(),
    advice="more or cleaner data where it errs, and label smoothing or fewer epochs where it is too sure",
    reference=mean_of_examples(_brier_by_sklearn),
)


def _loss_by_sklearn(answered: Answered) -> float:
    from sklearn.metrics import log_loss

    inside = answered.clipped()
    if answered.one_label:
        inside /= inside.sum(axis=1, keepdims=True)
        return float(log_loss(answered.actual.argmax(axis=1), inside, labels=np.arange(inside.shape[1])))
    return float(log_loss(answered.actual.ravel(), inside.ravel(), labels=[False, True]))


LOSS = Metric(
    name="loss",
    label="loss",
    meaning="cross-entropy; with several labels an example, the mean of each label's own. Probabilities below 1e-7 "
    "count as 1e-7",
    higher_is_better=False,
    overall=mean_of(lambda predictions: predictions.losses),
    bounds=(0.0, math.inf),
    interval=Bootstrap(),
    advice="label smoothing, fewer epochs or a stronger penalty: a few very sure mistakes can make most of the loss",
    reference=mean_of_examples(_loss_by_sklearn),
)

"""What the scores of a class reach where a threshold holds its sensitivity or its specificity: for those who screen.

Sensitivity is the share of the class's examples that reach the threshold (its recall), specificity the share of the
others that do not. Every score of a positive is a threshold: no other finds more, or alarms less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric
from evaluation.metrics.ranking import at_positives
from evaluation.predictions import Predictions

# Of the report, where no gate names another.
SHOWN_AT = 0.95
# 19 of 20 are 95 %, whatever binary arithmetic makes of it.
_ROUNDING = 1e-9

_ADVICE = (
    "see the class's AUC: if it is high, add examples like those near the threshold; if not, the model cannot tell"
)


def sensitivity_at_specificity(at: float = SHOWN_AT) -> Metric:
    """The largest sensitivity of all thresholds with at least this specificity, in (0, 1)."""
    return Metric(
        name="sensitivity_at_specificity",
        label=f"sensitivity at {100 * at:g} % specificity",
        meaning="largest sensitivity (recall) of all thresholds whose specificity is at least `at` (in reports "
        f"{SHOWN_AT:g}): a point of scikit-learn's `roc_curve`. Resampling moves the threshold too",
        higher_is_better=True,
        per_class=_per_class(lambda sensitivity, specificity: _largest(sensitivity, specificity, at)),
        interval=Bootstrap(),
        undefined="where all examples have the class, or none has",
        advice=_ADVICE,
        slow=True,
        at=sensitivity_at_specificity,
    )


def specificity_at_sensitivity(at: float = SHOWN_AT) -> Metric:
    """The largest specificity of all thresholds with at least this sensitivity, in (0, 1)."""
    return Metric(
        name="specificity_at_sensitivity",
        label=f"specificity at {100 * at:g} % sensitivity",
        meaning="largest specificity of all thresholds whose sensitivity (recall) is at least `at` (in reports "
        f"{SHOWN_AT:g}): a point of scikit-learn's `roc_curve`. Resampling moves the threshold too",
        higher_is_better=True,
        per_class=_per_class(lambda sensitivity, specificity: _largest(specificity, sensitivity, at)),
        interval=Bootstrap(),
        undefined="where all examples have the class, or none has",
        advice=_ADVICE,
        slow=True,
        at=specificity_at_sensitivity,
    )


def _largest(reached: np.ndarray, held: np.ndarray, at: float) -> np.ndarray:
    return np.where(held >= at - _ROUNDING, reached, 0.0).max(axis=0)


def _per_class(
    point: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[Predictions, np.ndarray, Sequence[int]], np.ndarray]:
    """The metric of a point of the curve; `point` takes sensitivities and specificities [thresholds, replicates]."""

    def of_column(actual: np.ndarray, scores: np.ndarray, by_example: np.ndarray, total: np.ndarray) -> np.ndarray:
        gained, above = at_positives(actual, scores, by_example)
        hits = np.cumsum(gained, axis=0)
        positives = gained.sum(axis=0)
        negatives = total - positives
        defined = (positives > 0) & (negatives > 0)
        found = np.full(len(total), np.nan)
        if defined.any():
            sensitivity = hits[:, defined] / positives[defined]
            specificity = 1 - (above - hits)[:, defined] / negatives[defined]
            found[defined] = point(sensitivity, specificity)
        return found

    def per_class(predictions: Predictions, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        # An example a row, so that replicates lie side by side.
        by_example, total = np.ascontiguousarray(weights.T), weights.sum(axis=1)
        columns_of = zip(predictions.actual[:, columns].T, predictions.probabilities[:, columns].T, strict=True)
        return np.stack([of_column(actual, scores, by_example, total) for actual, scores in columns_of], axis=1)

    return per_class

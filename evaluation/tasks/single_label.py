"""One label an example."""

from __future__ import annotations

import numpy as np

from evaluation.predictions import SINGLE_LABEL, SingleLabel


class SingleLabelTask:
    """Labels are int [examples], and the most probable class is said."""

    measured_as = SINGLE_LABEL
    leading = "accuracy"

    def predictions(self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None) -> SingleLabel:
        """Joins labels and probabilities."""
        return SingleLabel(labels, probabilities)

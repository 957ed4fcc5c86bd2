"""One label an example."""

from __future__ import annotations

import numpy as np

from evaluation.predictions import SingleLabel


class SingleLabelTask:
    """Labels are int [examples], and the most probable class is said."""

    def predictions(self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None) -> SingleLabel:
        """Joins labels and probabilities."""
        return SingleLabel(labels, probabilities)

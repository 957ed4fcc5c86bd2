"""One label an example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.predictions import SINGLE_LABEL, SingleLabel


class SingleLabelTask:
    """Labels are int [examples], and one class is said: by default the most probable one."""

    measured_as = SINGLE_LABEL
    leading = "accuracy"

    def predictions(
        self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None, found: np.ndarray | None = None
    ) -> SingleLabel:
        """Joins labels, probabilities and, where the model was asked, what it says."""
        return SingleLabel(labels, probabilities, served=said)

    def in_columns(self, places: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Has no places to bring."""
        return places

"""Any number of labels an example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.predictions import MULTI_LABEL, MultiLabel


class MultiLabelTask:
    """Labels are multi-hot [examples, classes], and what is said was decided by thresholds of the model's own."""

    measured_as = MULTI_LABEL
    leading = "micro_f1"

    def predictions(
        self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None, found: np.ndarray | None = None
    ) -> MultiLabel:
        """Joins labels, probabilities and decisions."""
        assert said is not None, "a model of several labels serves what it decided"
        return MultiLabel(labels.astype(bool), probabilities, said.astype(bool))

    def in_columns(self, places: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Has no places to bring."""
        return places

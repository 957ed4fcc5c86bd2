"""Any number of labels an example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.predictions import MultiLabel


class MultiLabelInTfma:
    """Labels are multi-hot over those that the model knows."""

    plots = ()
    said = "predicted"

    def predictions(
        self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray | None
    ) -> MultiLabel:
        """Joins labels, probabilities and what the model decided by its thresholds."""
        assert said is not None
        return MultiLabel(np.stack(labels) > 0, probabilities, said > 0)

"""Any number of labels an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics.references import Answered


class MultiLabelInTfma:
    """Labels are multi-hot over those that the model knows."""

    plots = ()

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Reads the served `predicted`, which the model decided by its thresholds."""
        return np.asarray(outputs["predicted"]) > 0

    def answered(self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray) -> Answered:
        """Joins them."""
        return Answered(np.stack(labels) > 0, probabilities, said, one_label=False)

"""One label an example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.predictions import SingleLabel


class SingleLabelInTfma:
    """Labels are the columns of classes, -1 for one that the model does not know."""

    plots = ("MultiClassConfusionMatrixPlot",)
    said = None

    def predictions(
        self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray | None
    ) -> SingleLabel:
        """Gives classes that the model does not know one more column, without probability."""
        columns = np.array([int(label.item()) for label in labels])
        columns = np.where(columns < 0, probabilities.shape[1], columns)
        return SingleLabel(columns, np.pad(probabilities, ((0, 0), (0, 1))))

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
        """Gives a class that the model does not know a column of its own, without probability."""
        columns = np.array([int(label.item()) for label in labels])
        if (columns < 0).any():
            columns = np.where(columns < 0, probabilities.shape[1], columns)
            probabilities = np.pad(probabilities, ((0, 0), (0, 1)))
        return SingleLabel(columns, probabilities)

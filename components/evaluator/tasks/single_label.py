"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics.references import Answered


class SingleLabelInTfma:
    """Labels are the columns of classes, -1 for one that the model does not know."""

    plots = ("MultiClassConfusionMatrixPlot",)

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Looks up the served `label` among the served `classes`."""
        return np.asarray(outputs["classes"]).ravel() == np.asarray(outputs["label"]).ravel()

    def answered(self, labels: Sequence[np.ndarray], probabilities: np.ndarray, said: np.ndarray) -> Answered:
        """Gives classes that the model does not know one more column, which it never says."""
        unknown = probabilities.shape[1]
        columns = np.array([int(label.item()) for label in labels])
        actual = np.where(columns < 0, unknown, columns)[:, np.newaxis] == np.arange(unknown + 1)
        more = ((0, 0), (0, 1))
        return Answered(actual, np.pad(probabilities, more), np.pad(said, more), one_label=True)

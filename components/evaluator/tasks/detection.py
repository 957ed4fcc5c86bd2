"""Boxes around objects: TFMA counts pictures, and what is in them is for the metrics of boxes, which it has none of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from components.evaluator.tasks.multi_label import MultiLabelInTfma


class DetectionInTfma(MultiLabelInTfma):
    """Labels are multi-hot over the classes of a picture."""

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Looks for classes of which a box is said."""
        said = np.asarray(outputs["labels"])[np.asarray(outputs["predicted"]) > 0]
        return np.isin(np.asarray(outputs["classes"]).ravel(), said)

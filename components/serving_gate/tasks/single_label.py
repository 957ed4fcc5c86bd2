"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Of float32 probabilities that a softmax made.
SUM_TOLERANCE = 1e-3


class SingleLabel:
    """Probabilities add up to 1, and `label` is the most probable class, or what a threshold makes of them."""

    outputs = {"label": ("string", False)}

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Holds the two against each other."""
        probabilities, found = answer["probabilities"], []
        if probabilities.min() < -SUM_TOLERANCE or np.abs(probabilities.sum(axis=1) - 1).max() > SUM_TOLERANCE:
            found.append("its probabilities are negative or do not add up to 1")
        rows = zip(probabilities, answer["classes"], answer["label"], strict=True)
        wrong = [label for row, names, label in rows if dict(zip(names, row, strict=True)).get(label) != row.max()]
        if wrong:
            found.append(f"its label {str(wrong[0])!r} is not the most probable class")
        return found

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `label` and its `probability`."""
        of_class = dict(zip(answer["classes"], answer["probabilities"], strict=True))
        return {"label": answer["label"], "probability": float(of_class[answer["label"]])}

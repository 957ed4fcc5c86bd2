"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Of float32 probabilities that a softmax made.
SUM_TOLERANCE = 1e-3


class SingleLabel:
    """Probabilities add up to 1, and `label` is the most probable class, or what a threshold makes of them."""

    outputs = {"label": ("string", ())}

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Holds the two against each other."""
        probabilities, found = answer["probabilities"], []
        if probabilities.min() < -SUM_TOLERANCE or np.abs(probabilities.sum(axis=1) - 1).max() > SUM_TOLERANCE:
            found.append("its probabilities are negative or do not add up to 1")
        rows = [
            (dict(zip(names, row, strict=True)), label)
            for row, names, label in zip(probabilities, answer["classes"], answer["label"], strict=True)
        ]
        if wanted := decision.get("threshold_of"):
            wrong = [label for of_class, label in rows if label != _decided(of_class, wanted, decision["thresholds"])]
            says = f"not what its threshold of {wanted} says"
        else:
            wrong = [label for of_class, label in rows if of_class.get(label) != max(of_class.values())]
            says = "not the most probable class"
        return [*found, f"its label {str(wrong[0])!r} is {says}"] if wrong else found

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `label` and its `probability`."""
        of_class = dict(zip(answer["classes"], answer["probabilities"], strict=True))
        return {"label": answer["label"], "probability": float(of_class[answer["label"]])}


def _decided(of_class: Mapping[str, float], wanted: str, thresholds: Sequence[float]) -> str:
    """The one of two classes that the threshold of one of them says; as the model, in float32."""
    names = list(of_class)
    place = names.index(wanted)
    reached = np.float32(of_class[wanted]) >= np.float32(thresholds[place])
    return names[place if reached else 1 - place]

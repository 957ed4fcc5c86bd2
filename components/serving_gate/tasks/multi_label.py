"""Any number of labels an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.serving_gate.shapes import CLASSES


class MultiLabel:
    """Each probability stands for itself, and `predicted` is 1 from the label's threshold on."""

    outputs = {"predicted": ("int64", (CLASSES,))}

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Looks for probabilities that are none, and for a label whose decisions no threshold explains."""
        probabilities, predicted = answer["probabilities"], answer["predicted"]
        if probabilities.min() < 0 or probabilities.max() > 1:
            return ["its probabilities are not all between 0 and 1"]
        if not np.isin(predicted, (0, 1)).all():
            return ["its output predicted has other values than 0 and 1"]
        least_said = np.where(predicted == 1, probabilities, np.inf).min(axis=0)
        most_unsaid = np.where(predicted == 0, probabilities, -np.inf).max(axis=0)
        wrong = np.flatnonzero(most_unsaid >= least_said)
        if len(wrong):
            name = str(answer["classes"][0][wrong[0]])
            return [f"it predicts {name!r} at one probability, and does not at one that is as high"]
        return []

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `labels`, those that are predicted, from the most probable on."""
        found = sorted(
            (-probability, name)
            for name, probability, said in zip(
                answer["classes"], answer["probabilities"], answer["predicted"], strict=True
            )
            if said
        )
        return {"labels": [name for _, name in found]}

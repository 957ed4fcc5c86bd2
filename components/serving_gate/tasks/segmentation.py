"""Which class each pixel is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.serving_gate.shapes import ANY, CLASSES, Shape


class Segmentation:
    """A mask of the size that the backbone sees, whose values are columns of `classes`; `predicted` are those in it."""

    outputs: Mapping[str, tuple[str, Shape]] = {"mask": ("uint8", (ANY, ANY)), "predicted": ("int64", (CLASSES,))}

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Looks for probabilities that are none, values that are no class, and classes that the mask does not have."""
        probabilities, mask, predicted = answer["probabilities"], answer["mask"], answer["predicted"]
        if probabilities.min() < 0 or probabilities.max() > 1:
            return ["its probabilities are not all between 0 and 1"]
        classes = probabilities.shape[1]
        if mask.min() < 0 or mask.max() >= classes:
            return [f"its mask has the value {int(mask.max())}, and there are {classes} classes"]
        there = np.array([np.isin(np.arange(classes), each) for each in mask])
        if (there != (predicted > 0)).any():
            return ["its output predicted is not which classes are in its mask"]
        return []

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `labels`, the classes in the mask, the largest first, and `shares`, how much of the picture each is."""
        counts = np.bincount(np.ravel(answer["mask"]), minlength=len(answer["classes"]))
        order = [column for column in np.argsort(-counts, kind="stable").tolist() if counts[column]]
        shares = {answer["classes"][column]: float(counts[column] / counts.sum()) for column in order}
        return {"labels": list(shares), "shares": shares}

"""Boxes around objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# As `trainer_module.detection.decoding` serves them.
MOST_BOXES = 100


class Detection:
    """Boxes from the surest down, those that reach the threshold of their class marked; unused places have no label."""

    outputs = {
        "boxes": ("float32", (MOST_BOXES, 4)),
        "scores": ("float32", (MOST_BOXES,)),
        "labels": ("string", (MOST_BOXES,)),
        "predicted": ("int64", (MOST_BOXES,)),
    }

    def wrong_values(self, answer: Mapping[str, np.ndarray], decision: Mapping[str, Any]) -> list[str]:
        """Looks for scores and boxes that are none, labels that are no class, and boxes that no threshold explains."""
        boxes, scores, labels = answer["boxes"], answer["scores"], answer["labels"]
        found = []
        for name in ("probabilities", "scores", "boxes"):
            values = answer[name]
            if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
                found.append(f"its {name} are not all between 0 and 1")
        if (boxes[..., :2] > boxes[..., 2:]).any():
            found.append("some of its boxes end before they begin")
        if (np.diff(scores, axis=1) > 0).any():
            found.append("its boxes are not in the order of their scores")
        unknown = sorted(set(labels.ravel().tolist()).difference(answer["classes"].ravel().tolist(), [""]))
        if unknown:
            found.append(f"its label {unknown[0]!r} is none of its classes")
        if found or "thresholds" not in decision:
            return found
        of_class = dict(zip(answer["classes"][0].tolist(), decision["thresholds"], strict=True))
        reached = np.array([[float(of_class.get(name, 2.0)) for name in row] for row in labels.tolist()], np.float32)
        if ((scores.astype(np.float32) >= reached) != (answer["predicted"] > 0)).any():
            return ["its output predicted is not what its thresholds say"]
        return []

    def row(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `objects`, those that reach their thresholds, from the surest on, and their `labels`, each once.

        An object has its `label`, its `score`, and its `box`: upper, left, lower and right edge in shares of the
        picture.
        """
        places = zip(answer["labels"], answer["scores"], answer["boxes"], answer["predicted"], strict=True)
        objects = [
            {"label": label, "score": float(score), "box": [float(edge) for edge in box]}
            for label, score, box, said in places
            if said
        ]
        return {"labels": list(dict.fromkeys(each["label"] for each in objects)), "objects": objects}

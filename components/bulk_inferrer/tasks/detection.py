"""Boxes around objects of some classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.bulk_inferrer.tasks.multi_label import MultiLabel
from evaluation.detection import ALL, CLASS, NONE, SCORE
from evaluation.detection import Detection as Found
from evaluation.predictions import Predictions, ratio
from transforms import features
from transforms.objects import MOST_OBJECTS, Objects


class Detection(MultiLabel):
    """Each model finds boxes, and says those that reach the threshold of their class."""

    def labels(self, names: Sequence[Sequence[str]], objects: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Returns float32 [pictures, MOST_OBJECTS, 8], as `evaluation.detection.Matches.of` takes what is true."""
        places = {name: place for place, name in enumerate(classes)}
        truth = np.full((len(objects), MOST_OBJECTS, 8), NONE, np.float32)
        for picture, text in enumerate(objects):
            found = Objects.from_text(text)
            truth[picture, :, 6:] = found.height, found.width
            for number, box in enumerate(found.boxes):
                truth[picture, number, :6] = *box.edges, places[box.name], box.is_crowd
        return truth

    def places(self, feature: Mapping[str, Any]) -> str:
        """Returns the objects, as `transforms.objects` writes them."""
        return str(feature[features.BOXES].bytes_list.value[0].decode("utf-8", "replace"))

    def found(self, outputs: Mapping[str, np.ndarray], examples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Joins what is served of each box."""
        # Unused places have no name.
        columns = outputs["labels"][:, :, np.newaxis] == outputs["classes"][:, np.newaxis, :]
        column = np.where(columns.any(axis=2), columns.argmax(axis=2), NONE)
        rows = [
            outputs["boxes"],
            *(each[..., np.newaxis] for each in (column, outputs["scores"], outputs["predicted"])),
        ]
        return np.concatenate(rows, axis=2).astype(np.float32)

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Looks for classes of which a box is said."""
        of_class = outputs["labels"][:, :, np.newaxis] == outputs["classes"][:, np.newaxis, :]
        return (of_class & (outputs["predicted"] > 0)[:, :, np.newaxis]).any(axis=1)

    def shown(self, predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Counts the objects of each class that are there, and the boxes that are said; and says where all are."""
        assert isinstance(predictions, Found), "boxes are Detection"
        right, wrong = predictions.of_said
        rows = []
        for picture, mistakes in enumerate(predictions.mistakes.tolist()):
            objects = predictions.matches.objects[picture, :, ALL].tolist()
            said = predictions.matches.columns[picture, right[picture] | wrong[picture]].tolist()
            label = _counted(dict(zip(classes, objects, strict=True)))
            predicted = f"{_counted(Counter(classes[column] for column in said))}; {mistakes} wrong or missed"
            marked = ((predictions.found, right, "right"), (predictions.found, wrong, "wrong"))
            boxes = [
                {
                    "label": classes[int(box[CLASS])],
                    "edges": box[:4].astype(np.float64).round(4).tolist(),
                    "mark": mark,
                    "score": None if mark == "missed" else round(float(box[SCORE]), 4),
                }
                for of_all, chosen, mark in (*marked, (predictions.truth, predictions.missed, "missed"))
                for box in of_all[picture][chosen[picture]]
            ]
            rows.append({"label": label, "predicted": predicted if mistakes else label, "boxes": boxes})
        return rows

    def score(self, predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
        """Scores the boxes that are said, at IoU 0.5."""
        assert isinstance(predictions, Found), "boxes are Detection"
        columns, (right, wrong) = predictions.matches.columns, predictions.of_said
        objects = predictions.matches.objects[..., ALL].sum(axis=0)
        hits, said = (
            np.array([(columns[chosen] == column).sum() for column in range(len(classes))])
            for chosen in (right, right | wrong)
        )
        f1 = ratio(2 * hits, objects + said)
        shares = zip(classes, ratio(hits, said), ratio(hits, objects), f1, objects, strict=True)
        return {
            "micro_f1": float(ratio(2 * hits.sum(), objects.sum() + said.sum())),
            "macro_f1": float(f1.mean()),
            "classes": list(classes),
            "per_class": [
                {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(count)}
                for name, p, r, f, count in shares
            ],
        }


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(numbers.items()) if count) or "nothing"

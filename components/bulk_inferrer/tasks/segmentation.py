"""Which class each pixel is of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.bulk_inferrer.tasks.multi_label import MultiLabel
from evaluation.predictions import Predictions, ratio
from evaluation.segmentation import ACTUAL, SAID, count_pixels
from evaluation.segmentation import Segmentation as Found
from transforms import features
from transforms.masks import VOID, from_png, resized


class Segmentation(MultiLabel):
    """Each model gives a mask; it is held against the true one at the size of the picture."""

    has_masks = True

    def places(self, feature: Mapping[str, Any]) -> str:
        """Returns how many pixels are of each class, as a JSON object."""
        names, mask = _truth(feature)
        counts = np.bincount(mask.ravel(), minlength=len(names)).tolist()
        return json.dumps(dict(zip(names, counts, strict=False)))

    def labels(self, names: Sequence[Sequence[str]], objects: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Returns int64 [pictures, classes, 1], pixels of each class."""
        counts = [json.loads(text) for text in objects]
        return np.array([[[each.get(name, 0)] for name in classes] for each in counts], np.int64)

    def found(self, outputs: Mapping[str, np.ndarray], examples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Counts pixels that are said to be of each class, and those that are: int64 [batch, classes, 2]."""
        classes = [name.decode() for name in outputs["classes"][0]]
        return np.stack(
            [_counted(mask, feature, classes) for mask, feature in zip(outputs["mask"], examples, strict=True)]
        )

    def shown(self, predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Gives the share of each class in the mask, and what is said, with the overlap of each that is too small."""
        assert isinstance(predictions, Found), "masks are Segmentation"
        rows = []
        for pixels, overlaps, correct in zip(
            predictions.pixels, predictions.overlaps, predictions.correct.tolist(), strict=True
        ):
            label = _shares(pixels[:, ACTUAL], classes)
            there = (pixels[:, [SAID, ACTUAL]] > 0).any(axis=1)
            iou = ", ".join(f"{classes[column]} {overlaps[column]:.2f}" for column in np.flatnonzero(there).tolist())
            predicted = f"{_shares(pixels[:, SAID], classes)}; IoU {iou}"
            rows.append({"label": label, "predicted": label if correct else predicted})
        return rows

    def score(self, predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
        """Scores pixels, void ones apart: F1 is Dice, and `support` counts pixels."""
        assert isinstance(predictions, Found), "masks are Segmentation"
        hits, said, actual = predictions.pixels.sum(axis=0).T
        f1 = ratio(2 * hits, said + actual)
        rows = zip(classes, ratio(hits, said), ratio(hits, actual), f1, actual, strict=True)
        return {
            "micro_f1": float(ratio(hits.sum(), actual.sum())),
            "macro_f1": float(f1.mean()),
            "classes": list(classes),
            "per_class": [
                {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(count)}
                for name, p, r, f, count in rows
            ],
        }


def _truth(feature: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Returns the classes in the mask of a raw example, and the mask, uint8 [height, width], with places of them."""
    names = [name.decode("utf-8", "replace") for name in feature[features.LABEL].bytes_list.value]
    return names, from_png(feature[features.MASK].bytes_list.value[0])


def _counted(mask: np.ndarray, feature: Mapping[str, Any], classes: Sequence[str]) -> np.ndarray:
    names, truth = _truth(feature)
    columns = np.full(VOID + 1, -1)
    columns[: len(names)] = [classes.index(name) if name in classes else -1 for name in names]
    said = resized(mask, *truth.shape).astype(np.int64)
    return count_pixels(columns[truth], said, truth != VOID, len(classes))


def _shares(pixels: np.ndarray, classes: Sequence[str]) -> str:
    """Says how much of a picture each class is, the largest first."""
    total = max(int(pixels.sum()), 1)
    order = [column for column in np.argsort(-pixels, kind="stable").tolist() if pixels[column]]
    return ", ".join(f"{classes[column]} {pixels[column] / total:.0%}" for column in order) or "nothing"

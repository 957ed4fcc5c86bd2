"""Any number of labels an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.bulk_inferrer.answers import Answers
from evaluation.predictions import Predictions

NONE = "(no label)"


class MultiLabel:
    """Each model says its labels by thresholds of its own."""

    has_masks = False

    def labels(self, names: Sequence[Sequence[str]], objects: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Returns int8 [examples, classes], multi-hot."""
        places = {name: place for place, name in enumerate(classes)}
        hot = np.zeros((len(names), len(classes)), dtype=np.int8)
        for row, labels in enumerate(names):
            hot[row, [places[label] for label in labels]] = 1
        return hot

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Reads what is served as `predicted`."""
        return outputs["predicted"].astype(bool)

    def places(self, feature: Mapping[str, Any]) -> str:
        """Knows of none."""
        return ""

    def found(self, outputs: Mapping[str, np.ndarray], examples: Sequence[Mapping[str, Any]]) -> np.ndarray | None:
        """Looks for no objects."""
        return None

    def majority(self, counts: Mapping[str, int], examples: int) -> Answers:
        """Gives each label its share of the examples, and says those that most examples have."""
        classes = sorted(counts)
        shares = np.array([[counts[name] / examples for name in classes]], dtype=np.float32)
        return Answers(shares, classes, shares >= 0.5)

    def confidence(self, predictions: Predictions) -> np.ndarray:
        """Takes the least sure of the decisions about one example's labels."""
        sure = np.where(predictions.said, predictions.probabilities, 1 - predictions.probabilities)
        return sure.min(axis=1)

    def shown(self, predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Names the labels one after the other, and `labels` and `said` one by one."""

        def names(hot: np.ndarray) -> list[str]:
            return [classes[column] for column in np.flatnonzero(hot).tolist()]

        pairs = zip(map(names, predictions.actual), map(names, predictions.said), strict=True)
        return [
            {
                "label": ", ".join(labels) or NONE,
                "predicted": ", ".join(said) or NONE,
                "labels": labels,
                "said": said,
            }
            for labels, said in pairs
        ]

    def score(self, predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
        """Scores it as `evaluation.scores.score_labels` does."""
        from evaluation.scores import score_labels

        return score_labels(predictions.actual, predictions.said, classes)

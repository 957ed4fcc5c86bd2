"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.bulk_inferrer.answers import Answers
from evaluation.predictions import Predictions


class SingleLabel:
    """Each model says one class: the most probable one, or another by a threshold of its own."""

    has_masks = False

    def labels(self, names: Sequence[Sequence[str]], objects: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Returns int64 [examples], the column of each one's class."""
        places = {name: place for place, name in enumerate(classes)}
        return np.array([places[name] for (name,) in names], dtype=np.int64)

    def said(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Looks up what is served as `label`."""
        return outputs["classes"] == outputs["label"][:, np.newaxis]

    def places(self, feature: Mapping[str, Any]) -> str:
        """Knows of none."""
        return ""

    def found(self, outputs: Mapping[str, np.ndarray], examples: Sequence[Mapping[str, Any]]) -> None:
        """Looks for no objects."""

    def majority(self, counts: Mapping[str, int], examples: int) -> Answers:
        """Gives each class its share."""
        classes = sorted(counts)
        shares = np.array([[counts[name] for name in classes]]) / examples
        return Answers(shares.astype(np.float32), classes)

    def confidence(self, predictions: Predictions) -> np.ndarray:
        """Takes the probability of the predicted class."""
        return np.where(predictions.said, predictions.probabilities, 0).max(axis=1)

    def shown(self, predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Names the class."""
        labels, predicted = predictions.actual.argmax(axis=1), predictions.said.argmax(axis=1)
        return [
            {"label": classes[label], "predicted": classes[guess]}
            for label, guess in zip(labels, predicted, strict=True)
        ]

    def score(self, predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
        """Scores it as `evaluation.scores.score` does."""
        # scikit-learn takes a second to import, which a check of a config has no use for.
        from evaluation.scores import score

        return score(predictions.actual.argmax(axis=1), predictions.said.argmax(axis=1), classes)

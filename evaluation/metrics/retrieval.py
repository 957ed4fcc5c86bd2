"""Recall at k: whether what belongs to a picture or a text is among the k nearest of all in the test split."""

from __future__ import annotations

from typing import Any

import numpy as np

from evaluation.metrics.interval_methods import Share
from evaluation.metrics.metric import Metric
from evaluation.predictions import SINGLE_LABEL, SingleLabel
from evaluation.retrieval import NO_RANK

_SIDES = {"image_to_text": ("picture", "text"), "text_to_image": ("text", "picture")}


def recall_at(k: int, way: str) -> Metric:
    """The share of examples whose counterpart is among the k nearest, `image_to_text` or `text_to_image`."""
    column = list(_SIDES).index(way)
    asked, found = _SIDES[way]

    def hits(predictions: SingleLabel, _: Any) -> np.ndarray:
        none = np.zeros(len(predictions), bool)
        return none if predictions.ranks is None else predictions.ranks[:, column] < k

    def judged(predictions: SingleLabel, _: Any) -> np.ndarray:
        none = np.zeros(len(predictions), bool)
        return none if predictions.ranks is None else predictions.ranks[:, column] != NO_RANK

    share = Share(hits, judged)
    return Metric(
        name=f"{way}_recall_at_{k}",
        label=f"recall@{k}, {asked} to {found}",
        meaning=f"of `fusion: contrastive`: share of {asked}s whose {found} is among the {k} nearest of all {found}s "
        f"in the test split, each of which counts once; the baseline `majority` finds it by chance",
        higher_is_better=True,
        tasks=(SINGLE_LABEL,),
        overall=share.overall,
        interval=share,
        undefined="where no model has vectors of pictures and texts",
        advice="give training more pairs, or let a phase unfreeze the last blocks of both networks",
    )


RECALLS = tuple(recall_at(k, way) for way in _SIDES for k in (1, 5))

"""How well pixels are told apart: IoU and Dice of classes, and the share of pixels that are right.

All are of the pixels of all pictures together, as in Pascal VOC's evaluation, and not means over pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric, mean_over_classes
from evaluation.predictions import SEGMENTATION, ratio
from evaluation.segmentation import ACTUAL, HITS, SAID, Segmentation, union

_ADVICE = (
    "train longer, unfreeze more of the backbone, take a larger backbone.image_size where classes are thin or small, "
    "or look in the report for classes that are taken for another"
)


def _of_classes(
    name: str, label: str, meaning: str, values: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> Metric:
    """Makes the metric that is the mean over classes of a share; `values` takes counts, and gives part and whole."""

    def per_class(found: Segmentation, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        part, whole = values(found.sums(weights)[:, list(columns)])
        return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)

    return Metric(
        name=name,
        label=label,
        meaning=f"{meaning}, over all pixels but void ones, mean over classes. With `of_class`, that class's own",
        higher_is_better=True,
        tasks=(SEGMENTATION,),
        overall=mean_over_classes(per_class),
        per_class=per_class,
        interval=Bootstrap(),
        undefined="where no pixel is of the class or said to be",
        advice=_ADVICE,
    )


MEAN_IOU = _of_classes(
    "mean_iou",
    "mean IoU",
    "pixels that are of a class and said to be, of those that are either (intersection over union; Everingham et al. "
    "2010)",
    lambda counts: (counts[..., HITS], union(counts)),
)
DICE = _of_classes(
    "dice",
    "Dice",
    "twice the pixels that are of a class and said to be, of those that are plus those that are said to be (Dice "
    "1945), which is their F1",
    lambda counts: (2 * counts[..., HITS], counts[..., SAID] + counts[..., ACTUAL]),
)


def _accuracy(found: Segmentation, weights: np.ndarray) -> np.ndarray:
    summed = found.sums(weights).sum(axis=1)
    return np.where(summed[:, ACTUAL] > 0, ratio(summed[:, HITS], summed[:, ACTUAL]), np.nan)


PIXEL_ACCURACY = Metric(
    name="pixel_accuracy",
    label="pixel accuracy",
    meaning="share of pixels, void ones apart, that are said to be of their class",
    higher_is_better=True,
    tasks=(SEGMENTATION,),
    overall=_accuracy,
    interval=Bootstrap(),
    undefined="where every pixel is void",
    advice=_ADVICE,
)

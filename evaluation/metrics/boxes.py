"""How well boxes are found: COCO's mean average precision, of all overlaps or one, of all sizes or one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.detection import OVERLAPS, Detection, average_precisions
from evaluation.metrics.interval_methods import Bootstrap
from evaluation.metrics.metric import Metric, mean_over_classes
from evaluation.predictions import DETECTION

_SOURCE = "as COCO's evaluation has it, by pycocotools (Lin et al. 2014, arXiv 1405.0312)"


def _mean_average_precision(
    name: str, label: str, meaning: str, area: str = "all", overlaps: Sequence[float] = OVERLAPS
) -> Metric:
    def per_class(found: Detection, weights: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        return average_precisions(found, weights, columns, area, overlaps)

    return Metric(
        name=name,
        label=label,
        meaning=f"{meaning}, mean over classes; {_SOURCE}. With `of_class`, that class's own",
        higher_is_better=True,
        tasks=(DETECTION,),
        overall=mean_over_classes(per_class),
        per_class=per_class,
        interval=Bootstrap(),
        undefined="where there is no object of the class and size",
        advice="train longer, unfreeze more of the backbone, or take a larger backbone.image_size: what is less than 8 "
        "pixels of it is hardly found",
        slow=True,
    )


BOX_MAP = _mean_average_precision(
    "box_map", "box mAP@[.5:.95]", "average precision of boxes, mean over ten overlaps (IoU) from 0.5 to 0.95"
)
BOX_MAP_50 = _mean_average_precision(
    "box_map_50", "box mAP@.5", "average precision of boxes that overlap an object by an IoU of 0.5", overlaps=(0.5,)
)
BOX_MAP_75 = _mean_average_precision(
    "box_map_75", "box mAP@.75", "average precision of boxes that overlap an object by an IoU of 0.75", overlaps=(0.75,)
)
OF_SIZES = [
    _mean_average_precision(f"box_map_{size}", f"box mAP of {size} objects", f"`box_map` of {objects}", size)
    for size, objects in (
        ("small", "objects of less than 32 x 32 pixels of the picture"),
        ("medium", "objects of 32 x 32 to 96 x 96 pixels of the picture"),
        ("large", "objects of more than 96 x 96 pixels of the picture"),
    )
]

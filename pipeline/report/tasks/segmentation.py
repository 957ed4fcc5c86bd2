"""Which class each pixel is of: the classes, and pictures beside their masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finetune.artifacts.evaluation_results import Sample
from finetune.artifacts.report_data import ReportData
from pipeline.report import evaluation
from pipeline.report.tasks.samples import drawn_samples
from pipeline.report.tasks.section import Section
from transforms.masks import VOID, colour_of

# Of each of the three panels of a picture, in pixels, and between them.
SIDE, GAP = 256, 6
# How much of a mask's colour lies over the picture.
OPACITY = 0.6


class Segmentation:
    """The page has a table of the classes, and pictures beside what is true and what is said of their pixels."""

    judged = "class of a picture"
    holds = "there"

    @property
    def sections(self) -> dict[str, Section]:
        """Returns them in their order."""
        return {
            "classes": Section(
                "Classes",
                "Weakest first, by F1 of pixels, which is Dice; examples are pixels, void ones apart. The bands are "
                "95 % intervals.",
                "The evaluator gave no metrics per class.",
                lambda data: evaluation.classes(data.per_class, data.evaluation.classes),
                "tasks/classes.html.j2",
            ),
            "samples": Section(
                "Predictions",
                "Test pictures: as they are, with the true mask, and with the one that the model gives. A mistake is a "
                "picture in which a class overlaps (IoU) by less than half.",
                "No sample predictions were kept.",
                masked_samples,
                "tasks/masked_samples.html.j2",
            ),
        }


def masked_samples(data: ReportData) -> dict[str, Any] | None:
    """Pictures beside their masks, and the colours of the classes."""
    found = drawn_samples(data, with_masks)
    if found is None:
        return None
    legend = [
        {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(place))}
        for place, name in enumerate(data.classes)
    ]
    return {**found, "legend": legend, "wide": True}


def with_masks(sample: Sample) -> Image.Image | None:
    """Returns three panels: a picture alone, with its true mask, and with what is said; None where a file is gone."""
    files = [sample.image, sample.true_mask, sample.said_mask]
    paths = [Path(file) for file in files if file]
    if len(paths) < len(files) or not all(path.is_file() for path in paths):
        return None
    with Image.open(paths[0]) as opened:
        picture = opened.convert("RGB").resize((SIDE, SIDE))
    sheet = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE), "white")
    sheet.paste(picture, (0, 0))
    for place, path in enumerate(paths[1:], start=1):
        with Image.open(path) as mask:
            own = mask.resize((SIDE, SIDE), Image.Resampling.NEAREST)
        opacity = np.where(np.asarray(own) == VOID, 0, round(255 * OPACITY)).astype(np.uint8)
        panel = Image.composite(own.convert("RGB"), picture, Image.fromarray(opacity, "L"))
        sheet.paste(panel, (place * (SIDE + GAP), 0))
    return sheet

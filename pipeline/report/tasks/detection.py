"""Boxes around objects: the classes, and pictures with what was found and missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from finetune.artifacts.evaluation_results import Sample
from finetune.artifacts.report_data import ReportData
from pipeline.report import evaluation
from pipeline.report.tasks.samples import drawn_samples
from pipeline.report.tasks.section import Section

# Of the longer side of a picture, in pixels: thumbnails are smaller than lines need.
SIDE = 384
# They can be told apart by those who see no red or green, too (Okabe and Ito 2008).
COLOURS = {"right": "#009e73", "wrong": "#d55e00", "missed": "#f0e442"}


class Detection:
    """The page has a table of the classes, and pictures with their boxes."""

    judged = "class of a picture"
    holds = "there"

    @property
    def sections(self) -> dict[str, Section]:
        """Returns them in their order."""
        return {
            "classes": Section(
                "Classes",
                "Weakest first, by F1 of the boxes that reach their threshold, at an overlap (IoU) of 0.5; examples "
                "are objects. The bands are 95 % intervals.",
                "The evaluator gave no metrics per class.",
                lambda data: evaluation.classes(data.per_class, data.evaluation.classes),
                "tasks/classes.html.j2",
            ),
            "samples": Section(
                "Predictions",
                "Test pictures: green boxes are right, red ones are wrong, yellow ones were missed.",
                "No sample predictions were kept.",
                boxed_samples,
                "tasks/boxed_samples.html.j2",
            ),
        }


def boxed_samples(data: ReportData) -> dict[str, Any] | None:
    """Pictures with boxes drawn into them."""
    return drawn_samples(data, with_boxes)


def with_boxes(sample: Sample) -> Image.Image | None:
    """Returns the picture of a sample with its boxes; None where its file is gone."""
    if not sample.image or not Path(sample.image).is_file():
        return None
    with Image.open(sample.image) as opened:
        scale = SIDE / max(opened.size)
        picture = opened.convert("RGB").resize([max(round(side * scale), 1) for side in opened.size])
    pen = ImageDraw.Draw(picture)
    for box in sample.boxes:
        upper, left, lower, right = box.edges
        places = (left * picture.width, upper * picture.height, right * picture.width, lower * picture.height)
        pen.rectangle(places, outline=COLOURS[box.mark], width=2)
        pen.text((places[0] + 3, places[1] + 1), box.label, fill=COLOURS[box.mark])
    return picture

"""Where examples lie beside each other: a part of `data_findings.json`."""

from __future__ import annotations

from finetune.artifacts.base import Record


class MapPoint(Record):
    """An example on the map: its place, the position of its class in `classes`, its split.

    `mistaken` says whether a fit that had not seen the example says something else than its label; None where no such
    fit was made, as for test.
    """

    x: float
    y: float
    of_class: int
    split: str
    mistaken: bool | None = None


class EmbeddingMap(Record):
    """A map of examples in two dimensions, of which near ones look alike to the frozen backbone.

    `examples` counts all that there are, of which `points` were drawn; distances between groups mean nothing.
    """

    classes: list[str]
    examples: int
    points: list[MapPoint]

from __future__ import annotations

import base64

from finetune.artifacts.embedding_map import EmbeddingMap, MapPoint
from pipeline.report.embedding_map import COLOURS, map_figures


def drawn(classes: list[str]) -> dict[str, str]:
    points = [
        MapPoint(x=number, y=number % 5, of_class=number % len(classes), split=split, mistaken=mistaken)
        for number, (split, mistaken) in enumerate([("train", False), ("val", True), ("test", None)] * len(classes))
    ]
    found = map_figures(EmbeddingMap(classes=classes, examples=len(points), points=points))
    start = "data:image/svg+xml;base64,"
    assert all(uri.startswith(start) for uri in found.values())
    return {title: base64.b64decode(uri[len(start) :]).decode() for title, uri in found.items()}


def test_the_map_is_drawn_by_class_split_and_mistake() -> None:
    found = drawn(["daisy", "rose"])
    assert "daisy" in found["By class"]
    assert "rose" in found["By class"]
    assert all(split in found["By split"] for split in ("train", "val", "test"))
    assert "mistaken" in found["By held-out answer"]
    assert "http" not in found["By class"].replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_classes_beyond_the_colours_are_grey_and_hostile_names_stay_text() -> None:
    hostile = ["$\\frac{$", "<script>alert(1)</script>", *(f"class {number}" for number in range(len(COLOURS)))]
    picture = drawn(hostile)["By class"]
    assert "other or none" in picture
    assert "<script" not in picture
    assert drawn(hostile) == drawn(hostile)

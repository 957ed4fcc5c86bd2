from __future__ import annotations

import base64

from finetune.artifacts.data_findings import DataFinding, DataFindings
from finetune.artifacts.embedding_map import EmbeddingMap, MapPoint
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from pipeline.report import page
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


def test_the_page_shows_the_map_and_says_how_many_were_drawn() -> None:
    points = [MapPoint(x=1.0, y=2.0, of_class=0, split="train")]
    finding = DataFinding(check="x", label="x", action="warn", measures="x", share=False, value=0, bound=1, found=False)
    found = DataFindings(findings=[finding], map=EmbeddingMap(classes=["a"], examples=5_000, points=points))
    summary = RunSummary(run_id="1", name="p", status="checked", data_checks=[finding])
    html = page.render(ReportData(title="p", summary=summary, data_findings=found))
    assert html.count('alt="Map of the examples, by') == 3
    assert "1 of 5,000 examples as the frozen backbone sees them" in html
    assert "Map of the examples" not in page.render(
        ReportData(title="p", summary=summary, data_findings=found.model_copy(update={"map": None}))
    )

"""The report: everything that was measured, nothing that loads or runs, and words where a part is missing."""

from __future__ import annotations

import io
import os
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CurvePoint
from finetune.errors import RunError
from pipeline.report import figures, page
from pipeline.report.tasks import single_label
from pipeline.saved_report import read_report, save_report

HOSTILE = "<script>alert(1)</script>\"'>&{{ 7 * 7 }}$x_$"
CLASSES = ["daisy", "roses", "tulips"]
DRAW_CURVES = figures.learning_curves
# Elements that close themselves.
VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


@pytest.fixture(autouse=True, scope="module")
def draw_once():
    """Most tests show the same curves: those are drawn once, which is most of the time that a report takes."""
    drawn: dict[str, dict[str, str]] = {}

    def draw(rows: list) -> dict[str, str]:
        drawn[repr(rows)] = drawn.get(repr(rows)) or DRAW_CURVES(rows)
        return drawn[repr(rows)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "learning_curves", draw)
        yield


FOLDER = tempfile.TemporaryDirectory()


def picture(content: bytes) -> str:
    """The path of a file with this content."""
    path = Path(FOLDER.name, f"{hash(content)}")
    path.write_bytes(content)
    return str(path)


def thumbnail(kind: str = "JPEG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "green").save(buffer, kind)
    return picture(buffer.getvalue())


PHASE = {
    "name": "head",
    "epochs": 1,
    "seconds": 3.0,
    "trainable_parameters": 10,
    "total_parameters": 20,
    "val_loss": 0.4,
    "val_accuracy": 0.9,
}


def summary(**changes: object) -> dict:
    return {
        "schema_version": 1,
        "run_id": "run-7",
        "name": "flowers",
        "status": "pushed",
        "error": None,
        "pushed_model": "/runs/serving/7",
        "metrics": {"accuracy": 0.9133, "macro_f1": 0.91, "loss": 0.298},
        "champion_metrics": {"accuracy": 0.88, "macro_f1": 0.87, "loss": 0.35},
        "baselines": {"from_scratch": {"accuracy": 0.59, "macro_f1": 0.57}},
        "gates": [
            {
                "name": "accuracy >= 0.85",
                "metric": "accuracy",
                "value": 0.9133,
                "bound": 0.85,
                "passed": True,
                "reason": "yes",
            }
        ],
        "phases": [
            {
                **PHASE,
                "epochs": 2,
                "stopped_early": True,
                "cached_trunk": True,
                "frozen_features": {"cut": "head_pool", "views": 3},
            },
            {**PHASE, "name": "tune", "cached_trunk": False, "frozen_features": {"cut": "add", "views": "fresh"}},
        ],
        "components": [
            {"id": "Trainer", "seconds": 61.0, "state": "ran"},
            {"id": "SchemaGen", "seconds": 0.1, "state": "cached"},
        ],
        "splits": {"train": 510, "val": 90, "test": 150},
        "backbone": {"name": "mobilenet_v2", "source": "/models/m.h5", "sha256": "ab" * 32},
        "output_dir": "/runs",
        "report": "/runs/report.html",
        "log_file": "/runs/run.log",
        "seconds": 65.0,
        **changes,
    }


def curve(phase: str, epoch: int, **changes: object) -> dict:
    row = {
        "phase": phase,
        "epoch": epoch,
        "loss": 1 / epoch,
        "accuracy": 0.5,
        "val_loss": 1.1 / epoch,
        "val_accuracy": 0.4,
        "learning_rate": 0.001,
    }
    return {**row, **changes}


def data(**changes: object) -> dict:
    return {
        "title": "flowers",
        "summary": summary(),
        "curves": [curve("head", 1), curve("head", 2), curve("fine-tune", 1)],
        "classes": CLASSES,
        "confusion": [[9, 1, 0], [0, 8, 2], [0, 5, 5]],
        "per_class": [
            {"class": name, "precision": 0.9, "recall": 0.9, "f1": f1, "support": 10}
            for name, f1 in zip(CLASSES, (0.95, 0.8, 0.6), strict=True)
        ],
        "samples": [
            {
                "path": "/d/a.jpg",
                "label": "daisy",
                "predicted": "daisy",
                "probability": 0.9,
                "image": thumbnail(),
            },
            {
                "path": "/d/b.jpg",
                "label": "roses",
                "predicted": "tulips",
                "probability": 0.7,
                "image": thumbnail("PNG"),
            },
            {
                "path": "/d/c.jpg",
                "label": "tulips",
                "predicted": "roses",
                "probability": 0.8,
                "image": thumbnail(),
            },
        ],
        "ingest": {
            "files": 753,
            "used": 750,
            "splits": {"train": {"examples": 510, "classes": {"daisy": 170, "roses": 170, "tulips": 170}}},
            "skipped": [{"path": "/d/x.jpg", "reason": "not_an_image", "detail": "0 bytes"}],
            "conflicts": [{"sha256": "cd" * 32, "files": [{"path": "/d/1.jpg", "label": "roses"}]}],
            "duplicates": {"within_split": 2, "across_splits": ["/d/dup.jpg"]},
            "bad_fraction": 0.004,
        },
        "config_yaml": "training:\n  seed: 1234\n",
        "versions": {"tensorflow": "2.16.2"},
        **changes,
    }


class Page(HTMLParser):
    """A page as its elements and texts; fails on elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, text: str) -> None:
        (self.styles if self.open[-1:] == ["style"] else self.words).append(text)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(**changes: object) -> ReportData:
    return ReportData.model_validate(data(**changes))


def render(**changes: object) -> Page:
    return Page(page.render(report(**changes)))


def test_the_verdict_comes_first_and_the_parts_follow_in_order():
    text = render().text
    assert text.index("Pushed:") < text.index("the only gate passed") < text.index("On 150 test examples")
    headings = re.findall(r"<h2>(.*?)</h2>", page.render(report()))
    expected = ["Gates", "Metrics", "Training", "Confusion", "Classes", "Predictions", "Calibration", "Slices", "Data"]
    assert headings == [*expected, "Run"]


def test_everything_that_was_measured_is_on_the_page():
    text = render().text
    for part in (
        "accuracy ≥ 0.85", "✓ passed", "0.913", "0.033 better than the champion", "from scratch", "0.590",
        "stopped early, frozen part computed once (up to head_pool), 3 views of each picture",
        "new pictures in every epoch", "22 of 30 examples correct", "weakest",
        "750 of 753 files were used.", "Skipped: 1 not an image.", "Repeated within a split: 2 files.", "/d/dup.jpg",
        "mobilenet_v2", "ab" * 32,
        "1234", "tensorflow", "2.16.2", "1 min 01 s", "cached", "0.4%",
    ):  # fmt: skip
        assert part in text, part


def test_the_page_loads_nothing_from_anywhere():
    html = page.render(report())
    parsed = Page(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in parsed.elements}
    sources = [
        attributes[key] for _, attributes in parsed.elements for key in ("src", "srcset", "href") if key in attributes
    ]
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    styles = "".join(parsed.styles)
    assert "url(" not in styles
    assert "@import" not in styles
    assert not re.search(r"https?://", html)


@pytest.mark.parametrize("classes", [3, 40])
def test_every_image_says_what_it_shows(classes: int):
    matrix = (np.eye(classes, dtype=int) * 3).tolist()
    images = render(confusion=matrix, classes=[f"c{i}" for i in range(classes)]).all("img")
    assert images
    assert all(image["alt"] for image in images)


def hostile(value: object) -> object:
    """`value` with every text in it, keys included, made hostile."""
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_names_are_shown_as_text():
    changes = hostile(data())
    changes["summary"]["status"] = "refused"
    changes["summary"]["components"][0]["state"] = "ran"
    changes["summary"]["components"][1]["state"] = "cached"
    changes["summary"]["error"] = HOSTILE
    changes["summary"]["gates"][0]["passed"] = False
    changes["summary"]["baselines"] = {HOSTILE: {HOSTILE: 0.1, "accuracy": 0.5}}
    changes["summary"]["metrics"] = {"accuracy": 0.5, HOSTILE: 0.1}
    changes["ingest"]["splits"] = {HOSTILE: {"examples": 1, "classes": {HOSTILE: 1}}}
    changes["versions"] = {HOSTILE: HOSTILE}
    parsed = Page(page.render(ReportData.model_validate(changes)))
    assert not parsed.all("script")
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in parsed.text
    assert "{{ 7 * 7 }}" in parsed.text


def test_names_outside_utf8_and_latin_are_written(tmp_path: Path):
    odd = "\x85日本\x00\x1b"
    save_report(tmp_path, report(title=odd, classes=[odd] * 3, curves=[curve(odd, 1), curve(odd, 2)]))
    assert "日本" in (tmp_path / "report.html").read_text(encoding="utf-8")


PARTS = ["curves", "confusion", "per_class", "samples", "ingest", "config_yaml", "versions"]


@pytest.mark.parametrize("part", PARTS)
def test_any_part_may_be_missing(part: str):
    given = data()
    given.pop(part)
    Page(page.render(ReportData.model_validate(given)))


def bare(**changes: object) -> ReportData:
    return ReportData.model_validate({"title": "t", "summary": {"run_id": "r", **changes}})


@pytest.mark.parametrize("key", [key for key in summary() if not RunSummary.model_fields[key].is_required()])
def test_any_part_of_the_summary_may_be_missing(key: str):
    given = summary()
    del given[key]
    Page(page.render(bare(**given)))


def test_an_empty_part_says_why():
    empty = bare(**summary(gates=[], metrics={}, champion_metrics=None, phases=[], splits={}))
    text = Page(page.render(empty)).text
    for reason in (
        "No gate is configured", "gave no metrics.", "left no record of its phases", "no confusion matrix",
        "no metrics per class", "No sample predictions", "no report on its input data",
        "Nothing checked this model before it was pushed.",
    ):  # fmt: skip
        assert reason in text, reason


def test_a_failed_run_shows_its_error_and_says_once_what_it_did_not_reach():
    failed = {
        "status": "failed",
        "error": "DataError: no files\nin /data",
        "components": [{"id": "Gen", "state": "failed", "seconds": 1.0}],
        "log_file": "/runs/run.log",
    }
    html = page.render(bare(**failed))
    text = Page(html).text
    assert "Failed: in Gen" in text
    assert "DataError: no files\nin /data" in html
    assert "/runs/run.log" in text
    assert text.count("The run failed before") == 1
    assert "gates, metrics, training, confusion, classes, predictions, calibration, slices, data." in text


def test_a_failed_run_shows_how_far_it_came():
    text = render(summary=summary(status="failed", metrics={}, gates=[]), confusion=[], per_class=[], samples=[]).text
    assert "anything to show of: gates, metrics, confusion, classes, predictions, calibration, slices." in text
    assert "750 of 753 files" in text


def test_a_refused_run_says_which_gates_failed():
    gate = {
        "name": "accuracy >= 0.95",
        "metric": "accuracy",
        "value": 0.9497,
        "bound": 0.95,
        "passed": False,
        "reason": "0.9497 is below 0.95",
    }
    text = render(summary=summary(status="refused", pushed_model=None, gates=[gate])).text
    assert "Refused: 1 of 1 gate failed accuracy >= 0.95: 0.9497 is below 0.95. Nothing was pushed." in text
    assert "0.9497 0.9500" in text, "value and bound must not both read 0.950"


def test_a_first_run_says_that_there_is_no_champion():
    text = render(summary=summary(champion_metrics=None)).text
    assert "No champion to compare with" in text
    assert "0.323 better than from scratch" in text
    assert "No champion" not in render().text


@pytest.mark.parametrize(("champion", "tone"), [(0.35, "better"), (0.25, "worse"), (0.298, "level")])
def test_a_lower_loss_is_better(champion: float, tone: str):
    cards = page.page(report(summary=summary(champion_metrics={"loss": champion})))["metrics"]
    assert tone in next(card for card in cards if card["name"] == "loss")["change"]["text"]


def test_metrics_that_are_not_finite_do_no_harm():
    metrics = {"accuracy": float("nan"), "loss": float("inf"), "auc": np.float32(0.5)}
    text = render(summary=summary(metrics=metrics)).text
    assert "nan" in text
    assert "inf" in text
    assert "AUC" in text


@pytest.mark.parametrize("size", [1, 2, single_label.MATRIX_CLASSES])
def test_a_small_confusion_matrix_shows_every_count(size: int):
    matrix = np.arange(size * size).reshape(size, size) + 1000
    text = render(confusion=matrix.tolist(), classes=[f"c{i}" for i in range(size)]).text
    assert all(str(count) in text for count in matrix.flat)


def test_a_large_confusion_matrix_is_a_picture_and_its_largest_mistakes():
    size = 120
    matrix = np.eye(size, dtype=int) * 20
    matrix[5, 6] = 14
    parsed = render(confusion=matrix.tolist(), classes=[f"species {i}" for i in range(size)])
    assert not [table for table in parsed.all("table") if "matrix" in (table.get("class") or "")]
    assert "species 5 species 6 14 41%" in parsed.text
    assert any("120 classes" in image["alt"] for image in parsed.all("img"))


def test_rows_of_the_confusion_matrix_are_true_classes():
    mistakes = page.page(report())["confusion"]["mistakes"]
    assert mistakes[0] == {"true": "tulips", "predicted": "roses", "count": 5, "share": 0.5}


@pytest.mark.parametrize("matrix", [[], [[]], [[0, 0], [0, 0]]])
def test_a_confusion_matrix_without_examples_is_missing(matrix: list):
    assert "no confusion matrix" in render(confusion=matrix).text


def test_the_weakest_class_comes_first_and_is_marked_and_one_without_examples_is_not():
    empty = {"class": "empty", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    rows = [empty, *data()["per_class"]]
    shown = page.page(report(per_class=rows))["classes"]
    assert [row["name"] for row in shown] == ["tulips", "roses", "daisy", "empty"]
    assert [row["weakest"] for row in shown] == [True, False, False, False]
    assert "weakest" not in render(per_class=rows[1:2]).text.replace("Weakest", "").replace("weakest first", "")


def test_the_most_confident_mistake_comes_first():
    samples = page.page(report())["samples"]
    assert [sample["file"] for sample in samples["mistakes"]] == ["c.jpg", "b.jpg"]
    assert [sample["file"] for sample in samples["correct"]] == ["a.jpg"]


@pytest.mark.parametrize("image", [None, b"", b"<svg onload=alert(1)>", b"GIF89a"])
def test_only_jpeg_and_png_are_embedded(image: bytes | None):
    sample = {
        "path": "/d/a.txt",
        "label": "spam",
        "predicted": "ham",
        "probability": 0.9,
        "image": None if image is None else picture(image),
    }
    parsed = render(samples=[{**sample, "text": "win a prize"}, sample])
    assert not [picture for picture in parsed.all("img") if "predicted as" in picture["alt"]]
    assert "win a prize" in parsed.text
    assert "no preview" in parsed.text


@pytest.mark.parametrize(
    "rows",
    [
        [curve("head", 1)],
        [curve("head", 1, loss=float("nan"), val_loss=float("inf"), accuracy=float("nan"))],
        [curve("$broken_{math", 1), curve("<b>&", 2), curve("a name that is far too long for its place", 3)],
        [curve(f"phase {i}", i) for i in range(1, 20)],
    ],
)
def test_odd_curves_are_drawn(rows: list):
    points = [CurvePoint.model_validate(row) for row in rows]
    panels = DRAW_CURVES(points)
    assert list(panels) == ["loss", "accuracy"]
    assert all(panel.startswith("data:image/svg+xml;base64,") for panel in panels.values())


def test_curves_without_a_number_are_missing_in_words():
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    assert (
        "No learning curves were kept" in render(curves=[curve("head", 1, **dict.fromkeys(names, float("nan")))]).text
    )


def test_the_candidates_of_a_search_are_shown_and_why_one_was_chosen():
    found = {"name": "all_layers", "why": HOSTILE, "expected_seconds": 9, "seconds": 61.0, "val_loss": 0.33}
    found |= {"val_accuracy": 0.9, "gain": 0.08, "standard_error": 0.031, "against": "probe", "reason": "lower"}
    left_out = {"name": "own_phases", "why": "Own.", "expected_seconds": 900, "reason": "no room for it"}
    search = {"candidates": [found, left_out], "chosen": "all_layers", "reason": "it gains", "budget_minutes": 10}
    search |= {"seconds": 75.0, "val_examples": 90}
    shown = render(summary=summary(search=search, phases=[]), curves=[]).text
    assert HOSTILE in shown
    for part in (
        "all layers (chosen)",
        "0.080 ± 0.031",
        "1 min 01 s",
        "No room for it.",
        "all layers was chosen",
        HOSTILE,
    ):
        assert part in shown


def test_the_backbones_that_were_ranked_are_shown_and_why_one_was_chosen():
    measured = {
        "backbone": {"name": "x"},
        "standard_error": 0.021,
        "accuracy": 0.9,
        "latency_ms": 12.5,
        "seconds": 61.0,
    }
    best = {**measured, "label": "Big", "loss": 0.31, "size_mb": 13.0}
    too_big = {
        **measured,
        "label": HOSTILE,
        "loss": 0.44,
        "size_mb": 99.0,
        "problem": "99.0 MB are above max_size_mb 50",
    }
    ranking = {"candidates": [best, too_big], "chosen": "Big", "reason": "its features give the lowest loss"}
    shown = render(summary=summary(ranking=ranking, phases=[]), curves=[]).text
    for part in ("Big (chosen)", "0.310 ± 0.021", "1 min 01 s", f"{HOSTILE} (left out: 99.0 MB", "Big was chosen of 2"):
        assert part in shown


def test_what_the_course_of_training_says_is_shown_with_the_key_to_change():
    rises = [curve("head", epoch, loss=1 / epoch, val_loss=0.5 + 0.2 * epoch) for epoch in (1, 2, 3, 4)]
    html = page.render(report(curves=rises, summary=summary(phases=[{**PHASE, "best_epoch": 1}])))
    assert "head over-fits" in Page(html).text
    assert "<code>training.phases[0].epochs</code>" in html
    name = report(curves=[curve(HOSTILE, 1)] * 4, summary=summary(phases=[{**PHASE, "name": HOSTILE, "best_epoch": 0}]))
    assert "<script>" not in page.render(name)


def test_the_best_epoch_is_counted_over_all_phases():
    assert page.page(report())["training"]["curves"]["best"] == (
        "The lowest validation loss, 0.550, is at epoch 2 (in head), with validation accuracy 0.400."
    )


def test_the_same_run_gives_the_same_file():
    rows = report().curves
    assert DRAW_CURVES(rows) == DRAW_CURVES(rows)
    assert page.render(report()) == page.render(report())


def test_saving_makes_the_folder_and_leaves_no_other_file(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    save_report(folder, report())
    save_report(folder, report(title="second"))
    assert sorted(os.listdir(folder)) == ["report.html", "report.json", "summary.json"]
    assert "second" in (folder / "report.html").read_text(encoding="utf-8")
    assert read_report(tmp_path / "a" / "b") == (folder, report(title="second"))


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_report(tmp_path, report())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        save_report(tmp_path, report(title="second"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_report_data_that_are_damaged_are_told(tmp_path: Path):
    save_report(tmp_path, report())
    (tmp_path / "report.json").write_text('{"title": "flowers"}')
    with pytest.raises(RunError, match=r"report\.json: summary: Field required"):
        read_report(tmp_path)

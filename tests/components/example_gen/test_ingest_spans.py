"""A root with a place for the span: what is read, how it is known, and what of each span is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.example_gen.files import FileRecord
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.passes import make_example
from components.example_gen.selection import Selection, select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import DataSpans, data_fingerprint, list_spans, resolve_spans
from components.example_gen.tables import fingerprint_tables, read_tables
from components.example_gen.tasks.single_label import SingleLabel
from finetune.errors import ConfigError, DataError


def spans_of(base: str, settings: IngestSettings, pattern: str = "{SPAN}") -> DataSpans:
    found = resolve_spans(f"{base}/{pattern}", settings, lambda root: fingerprint(root, settings))
    assert found
    return found


@pytest.fixture
def select(read):
    """Ingests the spans below a folder."""

    def run(base: str, pattern: str = "{SPAN}", **settings) -> Selection:
        own = IngestSettings(**settings)
        listing = list_spans(spans_of(base, own, pattern), own, lambda root: list_files(root, own))
        return select_examples(listing, read(base, listing), 0.0, SingleLabel())

    return run


@pytest.fixture
def week(picture):
    """Pictures of one span in class folders: week(span, first seed)."""

    def files(span: str, first: int, count: int = 30) -> dict[str, bytes]:
        return {f"{span}/{'daisy' if i % 2 else 'rose'}/{i}.png": picture(first + i) for i in range(count)}

    return files


def test_each_example_has_its_span_and_each_span_its_counts(tree, week, select):
    base = tree(week("8", 100) | week("010", 200, 10))
    selection = select(base)
    assert selection.problems == []
    for records in selection.examples.values():
        for record in records:
            assert record.span == {"8": "8", "010": "10"}[record.path.split("/")[0]]
    spans = selection.report.spans
    assert [(span.name, span.number, sum(span.splits.values())) for span in spans] == [("8", 8, 30), ("10", 10, 10)]
    assert spans[0].splits["test"] + spans[1].splits["test"] == selection.report.splits["test"].examples
    record = selection.examples["train"][0]
    assert b"span" in make_example(record, b"", "image")
    assert b"span" not in make_example(FileRecord("a", ()), b"", "image")


def test_the_fingerprint_changes_with_what_is_read_and_with_nothing_else(tree, week):
    base, settings = tree(week("1", 0) | week("2", 100) | week("3", 200)), IngestSettings(window=2)

    def known() -> str:
        return data_fingerprint(f"{base}/{{SPAN}}", settings, lambda root: fingerprint(root, settings))

    first = known()
    assert first.startswith("spans:2,latest:3,")
    (Path(base) / "1" / "rose" / "0.png").unlink()
    assert known() == first, "span 1 is before the window"
    (Path(base) / "2" / "rose" / "0.png").unlink()
    corrected = known()
    assert corrected != first
    tree(week("4", 300))
    assert known() not in (first, corrected)
    shutil.rmtree(Path(base) / "4")
    assert known() == corrected
    assert known() != data_fingerprint(f"{base}/{{SPAN}}", IngestSettings(), lambda root: "same")


def test_spans_of_several_layouts_go_together(tree, week, select, picture):
    folders = {
        f"2/{split}/{name}/{i}.png": picture(500 + 100 * s + 10 * n + i)
        for s, split in enumerate(("train", "test"))
        for n, name in enumerate(("daisy", "rose"))
        for i in range(8)
    }
    selection = select(tree(week("1", 0) | folders))
    assert selection.problems == []
    tested = {record.path for record in selection.examples["test"] if record.span == "2"}
    assert tested == {path for path in folders if "/test/" in path}
    assert any(record.span == "1" for record in selection.examples["test"])


def test_an_empty_span_stops_nothing_and_is_told(tree, week, select):
    base = tree(week("1", 0))
    (Path(base) / "2").mkdir()
    (Path(base) / "2" / "_SUCCESS").touch()
    (Path(base) / "1" / "_SUCCESS").touch()
    (Path(base) / "3" / "daisy").mkdir(parents=True)
    selection = select(base, span_marker="_SUCCESS")
    assert selection.report.waiting == ["3"]
    assert selection.report.ignored == []
    assert [warning for warning in selection.warnings if "span" in warning] == [
        "data.root: not complete, and not read: span 3.",
        "data.root: without any usable example: span 2.",
    ]
    with pytest.raises(DataError, match=r"nothing is in the spans that are read \(2\)"):
        select(base, spans=["2"], span_marker="_SUCCESS")


def test_a_span_that_went_away_after_it_was_found_is_an_error(tree, week):
    base, settings = tree(week("1", 0) | week("2", 100)), IngestSettings()
    spans = DataSpans.from_json(spans_of(base, settings).to_json())
    assert spans == spans_of(base, settings)
    shutil.rmtree(Path(base) / "2")
    with pytest.raises(DataError, match=r"2' .*No such file or directory"):
        list_spans(spans, settings, lambda root: list_files(root, settings))


def test_a_picture_with_another_label_in_another_span_is_a_conflict_that_names_both(tree, week, read, picture):
    base, settings = tree(week("1", 0) | week("2", 100) | {"2/daisy/again.png": picture(0)}), IngestSettings()
    listing = list_spans(spans_of(base, settings), settings, lambda root: list_files(root, settings))
    report = select_examples(listing, read(base, listing), 0.1, SingleLabel()).report
    assert [[file.path for file in conflict.files] for conflict in report.conflicts] == [
        ["1/rose/0.png", "2/daisy/again.png"]
    ]
    assert report.used == 59


def test_what_lies_beside_the_spans_is_reported(tree, week, select):
    selection = select(tree(week("1", 0) | {"old/daisy/1.png": b"x", "1/notes.txt": b"x", "readme.txt": b"x"}))
    assert selection.report.ignored == ["1/notes.txt", "old", "readme.txt"]


@pytest.mark.parametrize("pattern", ["{SPAN}.csv", "{SPAN}"])
def test_tables_as_spans(tmp_path, pattern):
    for span in (1, 2):
        rows = "".join(f"text {span} {number},{'ab'[number % 2]}\n" for number in range(20))
        path = tmp_path / pattern.replace("{SPAN}", str(span))
        if path.suffix != ".csv":
            path.mkdir()
            path /= "rows.csv"
        path.write_text(f"text,label\n{rows}", encoding="utf-8")
    settings = IngestSettings(layout="table")
    spans = resolve_spans(f"{tmp_path}/{pattern}", settings, fingerprint_tables)
    assert spans
    listing = list_spans(spans, settings, lambda root: read_tables(root, settings).listing)
    assert {record.span for record in listing.files} == {"1", "2"}
    assert listing.files[0].path == ("1.csv:2" if pattern == "{SPAN}.csv" else "1/rows.csv:2")


def test_spans_are_numbered_as_tfx_numbers_them(tmp_path):
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2

    for pattern, names in (("{YYYY}-{MM}-{DD}", ["1999-12-31", "2024-02-29"]), ("{SPAN}", ["7", "0012"])):
        base = tmp_path / str(len(pattern))
        for name in names:
            (base / name).mkdir(parents=True)
        split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
        _, latest, _ = utils.calculate_splits_fingerprint_span_and_version(str(base), [split])
        assert spans_of(str(base), IngestSettings(), pattern).spans[-1].number == latest


def test_spans_that_a_run_names_wrongly_are_a_mistake_of_the_user():
    with pytest.raises(ConfigError, match=r"data\.spans: got '9\.\.3'; expected spans of .*, such as 7, 3\.\.7"):
        resolve_spans("store/{SPAN}", IngestSettings(spans=["9..3"]), lambda root: "")

"""Rows of pictures with words: which can be used, and why the others cannot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from components.example_gen.layouts import list_files
from components.example_gen.settings import IngestSettings
from finetune.errors import DataError

SETTINGS = IngestSettings(manifest="m.csv", with_text=True)


@pytest.fixture
def listed(tree, picture):
    """Writes a picture and a manifest; returns the root and what the rows say."""

    def write(*rows: str, columns: str = "path,text,label", settings: IngestSettings = SETTINGS):
        whole = picture(1)
        files = {"a.png": whole, "cut.png": whole[:40], "page.png": b"<html>not found</html>", "none.png": b""}
        root = tree({**files, "m.csv": "\n".join([columns, *rows]).encode()})
        return root, list_files(root, settings).files

    return write


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (",,rose", "empty row", "line 2 of the manifest: it has neither the path of a picture nor a text"),
        ("  ,  ,rose", "empty row", "neither"),
        ("gone.png,what is left?,rose", "missing file", "line 2 of the manifest"),
        ("none.png,what is left?,rose", "empty file", "line 2 of the manifest"),
        ("../a.png,what is left?,rose", "unsafe path", "leaves the data root"),
        ("a.png,what is left?,", "empty label", "line 2"),
        ("a.png,what, is left?,rose", "bad row", "more fields than columns"),
        ("a.png", "empty label", "line 2"),
    ],
)
def test_rows_that_cannot_be_used_say_why_and_where(listed, row, reason, detail):
    _, (record,) = listed(row)
    assert record.reason == reason, record
    assert detail in record.detail


def test_a_row_may_lack_one_side(listed):
    _, records = listed("a.png,,rose", ",what is left?,rose", "a.png,what is left?,rose")
    found = {(record.path, record.text): (record.reason, record.has_file) for record in records}
    assert found == {
        ("a.png", ""): (None, True),
        ("m.csv:3", "what is left?"): (None, False),
        ("a.png", "what is left?"): (None, True),
    }


def test_the_same_picture_has_many_texts_and_the_same_row_counts_once(listed):
    _, records = listed("a.png,one,rose", "a.png,other,rose", "a.png,one,rose")
    found = [(record.text, record.reason) for record in records]
    assert sorted(found, key=str) == [("one", "duplicate row"), ("one", None), ("other", None)]


@pytest.mark.parametrize(
    ("columns", "column"), [("path,label", "text"), ("text,label", "path"), ("path,text", "label")]
)
def test_a_column_that_is_not_there_is_named(listed, columns, column):
    with pytest.raises(DataError, match=f"data.{column}_column: got '{column}'"):
        listed("a,b", columns=columns)


def test_words_are_limited_as_texts_are(listed):
    settings = dataclasses.replace(SETTINGS, max_characters=20)
    _, records = listed(f"a.png,{'long ' * 5},rose", "a.png,short,rose", settings=settings)
    assert {(record.text or "")[:5]: record.reason for record in records} == {"long ": "too long", "short": None}


def test_a_picture_that_is_damaged_leaves_out_its_row_with_the_words(listed, tmp_path: Path):
    """A stand-in for it would teach that the picture was never there."""
    pytest.importorskip("tensorflow")
    from components.example_gen.images import PictureFiles
    from components.example_gen.passes import ReadFiles, done, read_lines, write_lines

    root, records = listed("cut.png,what is left?,rose", "page.png,what is left?,rose", "a.png,what is left?,rose")
    lines = str(tmp_path / "lines")
    write_lines(lines, (record.to_json() for record in records))
    reading = ReadFiles(root, SETTINGS, PictureFiles())
    reading.setup()
    reading.process(lines)
    found = {record["path"]: record for record in map(json.loads, read_lines(done(lines)))}
    reasons = {path: record["reason"] for path, record in found.items()}
    assert reasons == {"cut.png": "truncated", "page.png": "not an image", "a.png": None}
    assert [path for path, record in found.items() if record["sha256"]] == ["a.png"]

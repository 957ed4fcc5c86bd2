"""Corrected labels stand in place of those of the data, and what a table of them gets wrong is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from components.example_gen.corrections import corrected
from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing
from components.example_gen.settings import IngestSettings
from components.example_gen.splits import SplitPlan
from finetune.errors import DataError

FILES = [FileRecord(f"{name}/{number}.jpg", (name,)) for name in ("cat", "dog") for number in range(3)]
LISTING = Listing("classes", FILES, ["cat", "dog"], SplitPlan({}, {}), [])


def labels(tmp_path: Path, text: str, **settings: object) -> dict[str, tuple[str, ...]]:
    """The labels of all files after corrections."""
    path = tmp_path / "corrections.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    listing = corrected(LISTING, IngestSettings(corrections=str(path), **settings))
    return {record.path: record.labels for record in listing.files}


def test_without_corrections_nothing_changes():
    assert corrected(LISTING, IngestSettings()) is LISTING


def test_the_label_of_a_row_stands_and_other_columns_do_not_count(tmp_path):
    before = {record.path: record.labels for record in FILES}
    text = "path,label,suggested,score\ncat/1.jpg,dog,cat,0.01\ncat/2.jpg,cat,dog,0.02\n"
    assert labels(tmp_path, text) == {**before, "cat/1.jpg": ("dog",)}
    assert labels(tmp_path, "\ufefflabel,path\r\ndog,cat/0.jpg\r\n\r\n") == {**before, "cat/0.jpg": ("dog",)}
    assert {record.path: record.labels for record in FILES} == before


def test_several_labels_are_as_label_errors_writes_them(tmp_path):
    text = 'path,label\ncat/0.jpg,cat|dog\ncat/1.jpg,"[""dog""]"\ncat/2.jpg,\n'
    found = labels(tmp_path, text, task="multi_label", label_separator=";")
    assert [found[f"cat/{number}.jpg"] for number in range(3)] == [("cat", "dog"), ("dog",), ()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,label\nbird/1.jpg,dog\n", "line 2: got the path 'bird/1.jpg', which is not among the data"),
        ("path,label\ncat/1.jpg,dogs\n", "line 2: got the label 'dogs'.*Did you mean 'dog'"),
        ("path,label\ncat/1.jpg,\n", "line 2: empty label"),
        ("path,label\ncat/1.jpg,dog\ncat/1.jpg,cat\n", "line 3: 'cat/1.jpg' is in line 2 already"),
        ("path,suggested\ncat/1.jpg,dog\n", "got path, suggested; expected a CSV file with the columns path and label"),
        ("", "got an empty file"),
        ("path,label,score\ncat/1.jpg,dog\n", "line 2 has 2 cells; expected 3"),
        ('path,label\n"cat/1.jpg,dog\n', "unexpected end of data"),
        ("path,label\ncat/\udcff.jpg,dog\n", r"got the path 'cat/\\\\udcff.jpg'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, problem):
    with pytest.raises(DataError, match=f"data.corrections: .*{problem}"):
        labels(tmp_path, text)


def test_a_table_that_is_not_there_is_named(tmp_path):
    settings = dataclasses.replace(IngestSettings(), corrections=str(tmp_path / "no.csv"))
    with pytest.raises(DataError, match=r"no\.csv.*No such file"):
        corrected(LISTING, settings)


def test_all_mistakes_are_told_at_once_up_to_ten(tmp_path):
    rows = "".join(f"x/{number}.jpg,dog\n" for number in range(12))
    with pytest.raises(DataError) as told:
        labels(tmp_path, f"path,label\n{rows}")
    assert len(str(told.value).splitlines()) == 11
    assert "and 2 more" in str(told.value)

"""Which spans of a root such as `store/{SPAN}` are there, complete, and in the window."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from finetune.config import DataConfig
from finetune.errors import DataError
from finetune.spans import SpanPattern, Window, is_pattern, seconds_of

HOUR_NS = 3600 * 10**9


def store(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / "store" / name).mkdir(parents=True)
    return tmp_path / "store"


def names_of(pattern: SpanPattern, **window) -> list[str]:
    return [span.name for span in pattern.resolve(Window(**window)).spans]


def test_numbers_are_in_the_order_of_their_values_with_or_without_padding(tmp_path):
    root = store(tmp_path, "2", "010", "9", "old", "3b", "٤", ".tmp")
    (root / "7").write_text("no folder")
    found = SpanPattern(f"{root}/{{SPAN}}").find()
    assert [(span.number, span.name, span.path) for span in found.spans] == [
        (2, "2", "2"),
        (9, "9", "9"),
        (10, "10", "010"),
    ]
    assert found.strangers == ["3b", "7", "old", "٤"]


@pytest.mark.parametrize(
    ("pattern", "folders"),
    [
        ("{YYYY}-{MM}-{DD}", ["2024-02-29", "2024-03-01"]),
        ("{YYYY}/{MM}/{DD}", ["2024/02/29", "2024/03/01"]),
        ("week of {DD}.{MM}.{YYYY}/images", ["week of 29.02.2024/images", "week of 01.03.2024/images"]),
        ("{YYYY}{MM}{DD}", ["20240229", "20240301"]),
    ],
)
def test_dates_in_any_form(tmp_path, pattern, folders):
    root = store(tmp_path, *folders)
    spans = SpanPattern(f"{root}/{pattern}").find().spans
    assert [(span.name, span.path) for span in spans] == [("2024-02-29", folders[0]), ("2024-03-01", folders[1])]
    assert spans[1].number - spans[0].number == 1


def test_a_table_can_be_a_span(tmp_path):
    root = store(tmp_path)
    root.mkdir()
    for name in ("1.csv", "2.csv", "2.csv.bak", "readme.txt"):
        (root / name).write_text("text,label\n")
    found = SpanPattern(f"{root}/{{SPAN}}.csv").find()
    assert [span.path for span in found.spans] == ["1.csv", "2.csv"]
    assert found.strangers == ["2.csv.bak", "readme.txt"]


def test_the_window_takes_the_latest_that_are_there_whatever_holes_there_are(tmp_path):
    pattern = SpanPattern(f"{store(tmp_path, '1', '2', '4', '9')}/{{SPAN}}")
    assert names_of(pattern) == ["1", "2", "4", "9"]
    assert names_of(pattern, last=2) == ["4", "9"]
    assert names_of(pattern, last=9) == ["1", "2", "4", "9"]
    assert names_of(pattern, chosen=["..4"], last=2) == ["2", "4"]
    assert names_of(pattern, chosen=["1", "3..5"]) == ["1", "4"]
    assert names_of(pattern, chosen=["2.."]) == ["2", "4", "9"]


def test_a_span_that_is_being_written_is_not_read(tmp_path):
    root = store(tmp_path, "1", "2", "3")
    for name in ("1", "3"):
        (root / name / "_SUCCESS").touch()
    pattern = SpanPattern(f"{root}/{{SPAN}}")
    resolved = pattern.resolve(Window(marker="_SUCCESS", last=1))
    assert ([each.name for each in resolved.spans], resolved.waiting) == (["3"], [])
    (root / "3" / "_SUCCESS").unlink()
    resolved = pattern.resolve(Window(marker="_SUCCESS", last=1))
    assert [each.name for each in resolved.spans] == ["1"]
    assert [each.name for each in resolved.waiting] == ["2", "3"]
    with pytest.raises(DataError, match=r"data.spans: got 3, which is not complete yet"):
        pattern.resolve(Window(marker="_SUCCESS", chosen=["1", "3"]))
    with pytest.raises(DataError, match=r"no span that is wanted is complete: 2, 3 lack the file '_SUCCESS'"):
        pattern.resolve(Window(marker="_SUCCESS", chosen=["2.."]))


def test_a_span_in_which_something_changed_lately_is_not_read(tmp_path):
    root = store(tmp_path, "1", "2/cats")
    (root / "2" / "cats" / "a.png").write_bytes(b"x")
    pattern, now = SpanPattern(f"{root}/{{SPAN}}"), time.time_ns()
    with pytest.raises(DataError, match="no change for 3600 seconds"):
        pattern.resolve(Window(min_age=3600), now)
    assert [span.name for span in pattern.resolve(Window(min_age=3600), now + 2 * HOUR_NS).spans] == ["1", "2"]
    # A time that anyone can set does not make it old: its inode has changed since.
    os.utime(root / "2" / "cats" / "a.png", ns=(0, 0))
    os.utime(root / "1", ns=(0, 0))
    assert [span.name for span in pattern.resolve(Window(min_age=3600), now).waiting] == ["2"]


@pytest.mark.parametrize(
    ("folders", "root", "message"),
    [
        ([], "{SPAN}", "cannot be listed"),
        (["old", "new"], "{SPAN}", "no span is there: .*'new', 'old'; expected {SPAN} once"),
        (["7", "007"], "{SPAN}", "'007' and '7', which are both span 7; expected one"),
        (["2024-02-30"], "{YYYY}-{MM}-{DD}", "named for 2024-02-30, which is no date; rename it"),
        (["7/pictures"], "{SPAN}/images", "no span is there: .*'7/images'"),
        (["99999999999999999999"], "{SPAN}", "no span is there"),
        (["7\n"], "{SPAN}", "no span is there: .*'7\\\\n'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, folders, root, message):
    place = store(tmp_path, *folders)
    with pytest.raises(DataError, match=message):
        SpanPattern(f"{place}/{root}").resolve(Window())


def test_spans_that_were_named_and_are_not_there(tmp_path):
    pattern = SpanPattern(f"{store(tmp_path, '1', '2', '4')}/{{SPAN}}")
    with pytest.raises(DataError, match=r"data.spans: got 3, and .* has no such span; there are 1, 2, 4"):
        pattern.resolve(Window(chosen=["2", "3"]))
    with pytest.raises(DataError, match=r"data.spans: got 7..9; .* has none of these. There are 1, 2, 4"):
        pattern.resolve(Window(chosen=["7..9"]))


def test_links_are_followed_but_for_those_that_lead_back(tmp_path):
    root = store(tmp_path, "1")
    (tmp_path / "elsewhere").mkdir()
    (root / "2").symlink_to(tmp_path / "elsewhere")
    (root / "3").symlink_to(tmp_path / "gone")
    (root / "4").symlink_to(root / "4")
    pattern = SpanPattern(f"{root}/{{SPAN}}")
    assert names_of(pattern) == ["1", "2"]
    assert pattern.find().strangers == ["3", "4"]
    (root / "5").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"'5' in .* links back to a folder that it lies in; remove the link"):
        pattern.find()


def test_a_name_that_is_not_utf8_is_a_stranger(tmp_path):
    root = store(tmp_path, "1")
    os.mkdir(os.fsencode(root) + b"/\xff{SPAN}")
    assert SpanPattern(f"{root}/{{SPAN}}").find().strangers == ["\udcff{SPAN}"]


def test_a_relative_root_that_begins_with_the_span(tmp_path, monkeypatch):
    monkeypatch.chdir(store(tmp_path, "1"))
    assert names_of(SpanPattern("{SPAN}")) == ["1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"root": "s/{SPAN}/{SPAN}"}, "expected {SPAN} once, or each of"),
        ({"root": "s/{YYYY}-{MM}"}, "each of {YYYY}, {MM} and {DD} once"),
        ({"root": "s/{WEEK}"}, "expected {SPAN} once"),
        ({"root": "s/{SPAN:3}"}, "expected {SPAN} once"),
        ({"root": "s/{SPAN}", "spans": ["a"]}, "got 'a'; expected spans of s/{SPAN}, such as 7, 3..7"),
        ({"root": "s/{SPAN}", "spans": ["9..3"]}, "got '9..3'"),
        ({"root": "s/{SPAN}", "spans": [".."]}, "got '..'"),
        ({"root": "s/{YYYY}-{MM}-{DD}", "spans": ["7"]}, "such as 2024-03-01 or"),
        ({"root": "s/{YYYY}-{MM}-{DD}", "spans": ["2024-02-30"]}, "got '2024-02-30'"),
        ({"root": "s/{SPAN}", "window": 0}, "greater than or equal to 1"),
        ({"root": "s/{SPAN}", "span_marker": "a/b"}, "pattern"),
        ({"root": "s/{SPAN}", "span_min_age": "soon"}, "such as 90s, 30m, 2h or 1d"),
        ({"root": "s", "window": 3}, "`window`: only for spans, and root 's' has no place for one"),
        ({"root": "s", "spans": [3], "span_marker": "x"}, "`spans`, `span_marker`: only for spans"),
    ],
)
def test_a_config_that_cannot_be_meant(data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DataConfig.model_validate(data)


def test_what_yaml_makes_of_spans_is_taken():
    from finetune.config import strict_yaml

    raw = strict_yaml.parse("root: s/{YYYY}-{MM}-{DD}\nspans: [2024-03-01, ..2024-01-31]\nwindow: all")
    assert DataConfig.model_validate(raw).spans == ["2024-03-01", "..2024-01-31"]
    raw = strict_yaml.parse("root: s/{SPAN}\nspans: 7")
    assert DataConfig.model_validate(raw).spans == ["7"]
    assert not is_pattern("pictures {1}")
    assert [seconds_of(text) for text in ("90s", "1.5m", "2h", "1d")] == [90, 90, 7200, 86_400]

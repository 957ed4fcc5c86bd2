from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from finetune.errors import DataError
from finetune.serving_log import COLUMNS, ServedRow, drawn_rows, read_serving_log, write_serving_log


def test_what_is_written_is_read_without_what_could_not_be_served(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = [
        ServedRow(path="/data/a.jpg", label="daisy", probability=0.9),
        ServedRow(path="b\udcff.jpg", label="daisy|rose", probability=0.5),
        ServedRow(path="bad.jpg", error="truncated: it ends too early"),
        ServedRow(text='two lines,\n"quoted"', label="spam", probability=1.0),
    ]
    assert write_serving_log(log, rows) == 4
    assert log.read_bytes().startswith(",".join(COLUMNS).encode() + b"\n")
    found = list(read_serving_log(log))
    assert [row.path for row in found] == ["/data/a.jpg", str(tmp_path / "b\udcff.jpg"), ""]
    assert [row.text for row in found] == ["", "", 'two lines,\n"quoted"']
    assert [row.label for row in found] == ["daisy", "daisy|rose", "spam"]


def test_a_table_of_somebody_else_needs_paths_or_texts_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_bytes("\ufefftime,text\n1,hello\n2,\n3\n".encode())
    assert [row.text for row in read_serving_log(log)] == ["hello"]


@pytest.mark.parametrize("content", [None, b"", b"time,label\n1,a\n", b"text\n" + b"x" * (2**24 + 1)])
def test_what_is_no_log_is_refused_by_its_key(tmp_path: Path, content: bytes | None) -> None:
    log = tmp_path / "log.csv"
    if content is not None:
        log.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.serving_log: got .*log\.csv.*predict --output"):
        list(read_serving_log(log))


def test_a_log_that_breaks_off_leaves_the_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    write_serving_log(log, [ServedRow(text="a")])

    def broken():
        yield ServedRow(text="b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_serving_log(log, broken())
    assert [row.text for row in read_serving_log(log)] == ["a"]
    assert [each.name for each in tmp_path.iterdir()] == ["log.csv"]


def test_each_row_is_as_likely_to_be_drawn_and_the_others_are_not_held() -> None:
    counts = [0] * 20
    for seed in range(400):
        for row in drawn_rows((ServedRow(text=str(number)) for number in range(20)), 5, seed):
            counts[int(row.text)] += 1
    # Binomial with 400 draws at a quarter: 100 and a deviation of 8.7.
    assert all(65 < count < 135 for count in counts)
    tracemalloc.start()
    assert len(drawn_rows((ServedRow(text="x" * 1000 + str(number)) for number in range(50_000)), 10)) == 10
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()

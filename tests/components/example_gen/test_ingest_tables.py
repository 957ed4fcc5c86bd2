"""Texts from CSV, TSV and JSONL: good rows, every kind of bad row, splits, and files that cannot be read at all."""

import json

import pytest

from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tables import fingerprint_tables, read_tables
from components.example_gen.tasks.single_label import SingleLabel
from finetune.artifacts.ingest_report import Duplicates
from finetune.errors import DataError


def read(root, **settings):
    tables = read_tables(root, IngestSettings(**settings))
    rows = {record.path: record for record in tables.listing.files}
    texts = {path: tables.texts.get(record.sha256) for path, record in rows.items()}
    return tables.listing, rows, texts


def reasons(rows) -> dict[str, str]:
    return {path: row.reason for path, row in rows.items() if row.reason}


def test_the_three_formats_say_the_same(tree):
    says = ["I said: wait", 'He said "no", twice', "naïve café 🙂"]
    labels = ["a", "b", "a"]
    quoted = ["I said: wait", '"He said ""no"", twice"', "naïve café 🙂"]
    files = {
        "x.csv": "text,label\r\n" + "".join(f"{t},{c}\r\n" for t, c in zip(quoted, labels, strict=True)),
        "x.tsv": "label\ttext\n" + "".join(f"{c}\t{t}\n" for t, c in zip(says, labels, strict=True)),
        "x.jsonl": "\n".join(json.dumps({"label": c, "text": t}) for t, c in zip(says, labels, strict=True)),
    }
    for name, content in files.items():
        root = tree({name: content.encode()})
        listing, rows, texts = read(f"{root}/{name}")
        assert list(texts.values()) == says, name
        assert [row.labels for row in rows.values()] == [(label,) for label in labels]
        assert listing.classes == ["a", "b"]
        first = 1 if name.endswith("jsonl") else 2
        assert list(rows) == [f"{name}:{line}" for line in range(first, first + 3)]


def test_a_table_without_a_header_takes_its_columns_from_the_config(tree):
    root = tree({"sms.tsv": b'ham\t"What"s up\nspam\tWIN now\n'})
    _, rows, texts = read(f"{root}/sms.tsv", columns=["label", "message"], text_column="message")
    assert list(texts.values()) == ['"What"s up', "WIN now"], "a quote in a TSV is a letter"
    assert [row.labels for row in rows.values()] == [("ham",), ("spam",)]


def test_pairs_of_texts_are_joined_by_what_neither_has_in_it(tree):
    root = tree({"qa.tsv": b"question\tanswer\tlabel\nWhy?\tSo\x1fthere.\ta\n\t \tb\n\tNo.\tb\n"})
    _, rows, texts = read(f"{root}/qa.tsv", text_columns=["question", "answer"])
    assert list(texts.values()) == ["Why?\x1fSo there.", None, "\x1fNo."]
    assert reasons(rows) == {"qa.tsv:3": "empty text"}
    with pytest.raises(DataError, match=r"data\.text_columns\[1\]: got 'answers'.*Did you mean 'answer'"):
        read(f"{root}/qa.tsv", text_columns=["question", "answers"])


def test_bad_rows_say_why(tree):
    lines = [
        b"label\ttext",
        b"a\tgood",
        b"a\t   ",
        b"\tno label",
        b"a\tcaf\xe9",
        b"a\tnul\0byte",
        b"a\ttoo\tmany",
        b"a",
        b"a\t" + b"long " * 30,
        b"",
        b"a\tlast without a line break",
    ]
    root = tree({"x.tsv": b"\xef\xbb\xbf" + b"\n".join(lines)})
    _, rows, _ = read(root, max_characters=100)
    assert reasons(rows) == {
        "x.tsv:3": "empty text",
        "x.tsv:4": "empty label",
        "x.tsv:5": "not text",
        "x.tsv:6": "not text",
        "x.tsv:7": "bad row",
        "x.tsv:8": "bad row",
        "x.tsv:9": "too long",
    }
    assert rows["x.tsv:11"].sha256


def test_bad_rows_of_json_say_why(tree):
    lines = [
        {"text": "good", "label": 1},
        {"text": "no label"},
        {"text": None, "label": True},
        {"text": "\ud800", "label": "a"},
    ]
    content = "\n".join(map(json.dumps, lines)) + '\n[1]\n{"text": \n' + "[" * 100_000 + "\n"
    _, rows, _ = read(tree({"x.jsonl": content.encode()}))
    assert reasons(rows) == {
        "x.jsonl:2": "empty label",
        "x.jsonl:3": "empty text",
        "x.jsonl:4": "not text",
        "x.jsonl:5": "bad row",
        "x.jsonl:6": "bad row",
        "x.jsonl:7": "bad row",
    }
    assert rows["x.jsonl:1"].labels == ("1",)
    assert rows["x.jsonl:3"].labels == ("true",)


def test_a_csv_text_may_have_line_breaks_and_be_longer_than_the_modules_limit(tree):
    long = "word " * 40_000
    _, _, texts = read(tree({"x.csv": f'label,text\na,"one\ntwo"\nb,"{long}"\n'.encode()}), max_characters=10**6)
    assert texts == {"x.csv:3": "one\ntwo", "x.csv:4": long}


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"x.csv": b'label,text\na,"never closed\nb,more\n'}, {}, "line 3 of .* cannot be read as CSV"),
        ({"x.csv": "text,label\na,b\n".encode("utf-16")}, {}, "is UTF-16; convert it: iconv"),
        ({"x.tsv": b"label\ttxt\na\tb\n"}, {}, "data.text_column: got 'text'; the columns .* Did you mean 'txt'"),
        ({"x.jsonl": b'{"text": "a", "class": "b"}\n'}, {}, "data.label_column: got 'label'"),
        ({"x.csv": b"\n"}, {}, "none: the file is empty"),
        ({"x.csv": b""}, {}, "cannot be read: empty file"),
        ({"x.csv": b"text,label\na,b\n"}, {"slice_columns": ["land"]}, r"data.slice_columns\[0\]: got 'land'"),
        ({"x.txt": b"text"}, {}, "with x.txt; expected a CSV, TSV or JSONL file, or a folder of them"),
        ({"a.csv": b"text,label\na,b\n"}, {"splits": {"train": "b", "val": 0.1, "test": 0.1}}, "data.splits.train"),
    ],
)
def test_what_cannot_be_read_stops_with_what_to_do(tree, files, settings, message):
    with pytest.raises(DataError, match=message):
        read(tree(files), **settings)


def test_a_root_that_is_not_there_stops():
    with pytest.raises(DataError, match=r"data\.root: got '/nowhere'"):
        read("/nowhere")


def test_tables_called_train_and_test_are_splits_and_others_are_left_out(tree):
    row = "text,label\n{0} one,a\n{0} two,b\n"
    root = tree({f"{name}.csv": row.format(name).encode() for name in ("train", "test", "notes")})
    listing, rows, _ = read(root)
    assert {record.folder for record in rows.values()} == {"train", "test"}
    assert listing.ignored == ["notes.csv"]
    assert set(listing.plan.cuts) == {"val"}


def test_a_split_column_and_slice_columns(tree):
    content = b"text,label,part,land\none,a,train,ch\ntwo,b,dev,de\nthree,a,held,at\n"
    settings = {"split_column": "part", "splits": {"train": "train", "val": "dev", "test": "held"}}
    listing, rows, _ = read(tree({"x.csv": content}), slice_columns=["land"], **settings)
    assert [listing.plan.held_out_folder(row.folder) for row in rows.values()] == [None, "val", "test"]
    assert [row.slices for row in rows.values()] == [{"land": "ch"}, {"land": "de"}, {"land": "at"}]


def test_the_same_text_shares_a_split_and_under_two_labels_is_a_conflict(tree):
    lines = ["label,text", *(f"{'ab'[i % 2]},text {i % 40}" for i in range(80)), "a,torn", "b,torn"]
    tables = read_tables(tree({"x.csv": "\n".join(lines).encode()}), IngestSettings())
    selection = select_examples(tables.listing, tables.listing.files, 0.05, SingleLabel())
    assert selection.problems == []
    assert selection.report.unit == "rows"
    assert selection.report.duplicates == Duplicates(within_split=40)
    (conflict,) = selection.report.conflicts
    assert [file.path for file in conflict.files] == ["x.csv:82", "x.csv:83"]


def test_too_many_bad_rows_stop_the_run(tree):
    content = "label,text\n" + "a,\n" * 3 + "".join(f"{'ab'[i % 2]},text {i}\n" for i in range(27))
    tables = read_tables(tree({"x.csv": content.encode()}), IngestSettings())
    (problem,) = select_examples(tables.listing, tables.listing.files, 0.05, SingleLabel()).problems
    assert problem.startswith("data.max_bad_fraction: got 3 unusable of 30 rows (10.0%)")


def test_the_fingerprint_follows_the_content(tree):
    root = tree({"a.csv": b"text,label\none,a\n"})
    before = fingerprint_tables(root)
    assert fingerprint_tables(root) == before
    tree({"a.csv": b"text,label\none,b\n"})
    assert fingerprint_tables(root) != before
    assert fingerprint_tables("/nowhere").startswith("unusable:")

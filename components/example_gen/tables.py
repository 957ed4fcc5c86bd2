"""Labelled texts from CSV, TSV and JSONL files, a record a row. Rows may come from anywhere, so none is trusted.

CSV is read as RFC 4180 has it, with quotes; TSV as IANA registered it, where a quote is a letter like any other; JSONL
as one object a line. A byte order mark is skipped.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from components.example_gen.columns import check_columns, common_columns
from components.example_gen.files import FileProblem, FileRecord, list_folder, printable, read_file
from components.example_gen.layouts import Listing
from components.example_gen.settings import IngestSettings
from components.example_gen.splits import plan_splits
from components.example_gen.tasks import read_labels
from components.example_gen.text_problem import not_utf8, text_problem
from finetune.buckets import is_bucket
from finetune.errors import DataError
from transforms.features import BETWEEN_TEXTS

EXTENSIONS = (".csv", ".tsv", ".jsonl")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A byte that no UTF-8 has; NUL bytes, which the csv module cannot read, are turned into it.
_NEVER_UTF8 = b"\xff"

# Values of one row by column, or why it has none.
Row = dict[str, str] | FileProblem
# Why a text, or the texts of a pair, cannot be used; None for one that can.
ProblemOf = Callable[[str, IngestSettings], FileProblem | None]


@dataclass(frozen=True)
class Tables:
    """What was read.

    Attributes:
        listing: One record a row, with a digest or a reason; `path` is `FILE:LINE`, where the row ends.
        texts: The text of each digest.
    """

    listing: Listing
    texts: dict[str, str]


def find_tables(root: str) -> tuple[str, list[str], list[str]]:
    """Returns the folder of the tables, their names in it, and the names of what lies beside them.

    Args:
        root: A table, or a folder of tables.

    Raises:
        DataError: There is none.
    """
    expected = "expected a CSV, TSV or JSONL file, or a folder of them"
    if os.path.isfile(root) or (is_bucket(root) and root.lower().endswith(EXTENSIONS)):
        folder, name = os.path.split(root)
        if not name.lower().endswith(EXTENSIONS):
            raise DataError(f"data.root: got {printable(root)!r}; {expected} (.csv, .tsv, .jsonl).")
        return folder, [name], []
    try:
        names = [name for name, is_folder in list_folder(root) if not is_folder]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"data.root: got {printable(root)!r} ({reason}); {expected} on this machine.") from None
    tables = [name for name in names if name.lower().endswith(EXTENSIONS)]
    if not tables:
        there = ", ".join(map(printable, names[:5])) or "no file"
        raise DataError(f"data.root: got the folder {printable(root)!r} with {there}; {expected}.")
    return root, tables, [name for name in names if name not in tables]


def read_tables(root: str, settings: IngestSettings, problem_of: ProblemOf = text_problem) -> Tables:
    """Reads all rows.

    Args:
        root: A table, or a folder of tables; tables called train, val and test are splits.
        settings: Columns, splits and limits.
        problem_of: Says why a text, or the texts of a pair, cannot be used.

    Raises:
        DataError: There is no table, one cannot be read at all, lacks a column, or a named split is not there.
    """
    folder, names, ignored = find_tables(root)
    stems = {name: os.path.splitext(name)[0] for name in names}
    by_file = settings.split_column is None and _names_splits(set(stems.values()), settings)
    offered: list[str] | None = sorted(set(stems.values())) if by_file else None
    where = f"files in {root!r}"
    if by_file:
        plan = plan_splits(settings.splits, offered, settings.split_salt, where)
        ignored += [name for name in names if stems[name] not in plan.folders.values()]
        names = [name for name in names if name not in ignored]
    records: list[FileRecord] = []
    texts: dict[str, str] = {}
    for name in names:
        for record, text in _records(folder, name, stems[name] if by_file else None, settings, problem_of):
            records.append(record)
            if record.sha256:
                texts[record.sha256] = text
    if not by_file:
        if settings.split_column:
            offered = sorted({record.folder for record in records if record.folder})
            where = f"values in column {settings.split_column!r}"
        plan = plan_splits(settings.splits, offered, settings.split_salt, where)
    classes = sorted({label for record in records for label in record.labels})
    return Tables(Listing("table", records, classes, plan, sorted(ignored)), texts)


def fingerprint_tables(root: str) -> str:
    """Returns a digest of the tables' names and bytes; one of the reason, if there are none to read."""
    digest, size = hashlib.sha256(), 0
    try:
        folder, names, _ = find_tables(root)
        for name in names:
            data = read_file(os.path.join(folder, name))
            size += len(data)
            digest.update(f"{printable(name)}:{hashlib.sha256(data).hexdigest()}\n".encode())
    except (DataError, FileProblem) as error:
        return "unusable:" + hashlib.sha256(str(error).encode()).hexdigest()
    return f"files:{len(names)},bytes:{size},sha256:{digest.hexdigest()}"


def _names_splits(stems: set[str], settings: IngestSettings) -> bool:
    if settings.splits is None:
        return "train" in stems
    return any(isinstance(value, str) for value in settings.splits.values())


def _records(
    folder: str, name: str, split: str | None, settings: IngestSettings, problem_of: ProblemOf
) -> Iterator[tuple[FileRecord, str]]:
    """Yields each row's record and its text, which is empty for a row that cannot be used."""
    for line, row in _rows(folder, name, settings):
        if isinstance(row, FileProblem):
            yield FileRecord(f"{name}:{line}", (), split).without(row), ""
            continue
        text = _text(row, settings)
        labels, label_problem = read_labels(row.get(settings.label_column, "").strip(), settings)
        slices = {column: row.get(column, "").strip() for column in settings.slice_columns}
        where = row.get(settings.split_column, "").strip() if settings.split_column else split
        group = row.get(settings.group_column, "").strip() if settings.group_column else None
        record = FileRecord(f"{name}:{line}", labels, where, slices=slices, group=group)
        problem = label_problem or problem_of(text, settings)
        if not problem and any(not_utf8(value) for value in (*slices.values(), where or "", group or "")):
            problem = FileProblem("not text", "a column has bytes that are not UTF-8")
        if problem:
            yield record.without(problem), ""
            continue
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        yield dataclasses.replace(record, size=len(data), sha256=digest), text


def _text(row: dict[str, str], settings: IngestSettings) -> str:
    """Returns the text of a row, or those of a pair with BETWEEN_TEXTS between them, which neither has in it then."""
    if settings.text_columns is None:
        return row.get(settings.text_column, "")
    return BETWEEN_TEXTS.join(row.get(column, "").replace(BETWEEN_TEXTS, " ") for column in settings.text_columns)


def _rows(folder: str, name: str, settings: IngestSettings) -> Iterator[tuple[int, Row]]:
    """Yields the number of the line that each row ends in, from 1, and the row."""
    path = os.path.join(folder, name)
    try:
        data = read_file(path)
    except FileProblem as problem:
        raise DataError(f"data.root: {printable(path)!r} cannot be read: {problem}.") from None
    if data.startswith(UTF16_MARKS):
        raise DataError(f"data.root: {printable(path)!r} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8.")
    # Stray bytes become surrogates, by which the rows that have them are known.
    text = data.replace(b"\0", _NEVER_UTF8).decode("utf-8-sig", "surrogateescape")
    texts = {"text_column": settings.text_column}
    if settings.text_columns is not None:
        texts = {f"text_columns[{place}]": column for place, column in enumerate(settings.text_columns)}
    wanted = {**texts, **common_columns(settings)}
    if name.lower().endswith(".jsonl"):
        rows = list(_json_rows(text))
        received = list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))
        check_columns(path, received, wanted)
        yield from rows
        return
    lines = _tsv_lines(text) if name.lower().endswith(".tsv") else _csv_lines(path, text)
    columns = settings.columns
    if columns is None:
        columns = [column.strip() for column in next(lines, (0, []))[1]]
    check_columns(path, columns, wanted)
    for number, fields in lines:
        if len(fields) != len(columns):
            yield number, FileProblem("bad row", f"it has {len(fields)} fields; expected {len(columns)}")
        else:
            yield number, dict(zip(columns, fields, strict=True))


def _tsv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip("\r"):
            yield number, line.removesuffix("\r").split("\t")


def _csv_lines(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
    # The module's own limit, which holds for the whole process, would stop the run for one long text.
    limit = csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(
            f"data.root: line {reader.line_num} of {printable(path)!r} cannot be read as CSV ({error}). Look there for "
            'a quote that is never closed; write a quote inside a field as "".'
        ) from None
    finally:
        csv.field_size_limit(limit)


def _json_rows(text: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _json_row(line)


def _json_row(line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return FileProblem("bad row", f"it is not JSON: {error}")
    if not isinstance(value, dict):
        return FileProblem("bad row", f"it is {type(value).__name__}; expected an object")
    # A label may be a number or true; a missing one may be null.
    return {key: _json_text(cell) for key, cell in value.items() if cell is not None}


def _json_text(cell: object) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)

"""Files, labels, splits and slices from a CSV manifest. Its rows may come from anywhere, so paths are not trusted."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from components.example_gen.columns import check_columns, common_columns
from components.example_gen.files import (
    FileProblem,
    FileRecord,
    describer,
    read_file,
)
from components.example_gen.masks import read_classes, with_mask
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS, read_labels
from components.example_gen.text_problem import text_problem
from finetune.errors import DataError


@dataclass(frozen=True)
class Manifest:
    """A manifest that could be read.

    Attributes:
        files: One record a row; rows that cannot be used say why.
        split_values: Distinct values in the split column; None when none is configured.
        sha256: Hex digest of the manifest's bytes.
        odd_annotations: How many annotations are odd in which way, where a manifest has some.
    """

    files: list[FileRecord]
    split_values: list[str] | None
    sha256: str
    odd_annotations: Mapping[str, int] = field(default_factory=dict)


def read_manifest(root: str, settings: IngestSettings) -> Manifest:
    """Reads the manifest that `settings` names and looks up each row's file under `root`.

    Raises:
        DataError: The manifest is missing, is not CSV in UTF-8, or lacks a column.
    """
    path, data = manifest_bytes(root, settings)
    rows = csv.DictReader(io.StringIO(_decode(path, data), newline=""))
    try:
        rows.fieldnames = [name.strip() for name in rows.fieldnames or []]
        wanted = {"path_column": settings.path_column, **common_columns(settings)}
        if TASKS[settings.task].has_masks:
            del wanted["label_column"]
            wanted["mask_column"] = settings.mask_column
        if settings.with_text:
            wanted["text_column"] = settings.text_column
        check_columns(path, rows.fieldnames, wanted)
        files = list(_records(root, rows, settings))
    except csv.Error as error:
        raise DataError(
            f"data.manifest: line {rows.line_num} of {path!r} cannot be read as CSV ({error}). Look there for a quote "
            'that is never closed; write a quote inside a field as "".'
        ) from None
    split_values = None
    if settings.split_column:
        split_values = sorted({record.folder for record in files if record.folder})
    return Manifest(files, split_values, hashlib.sha256(data).hexdigest())


def manifest_bytes(root: str, settings: IngestSettings) -> tuple[str, bytes]:
    """Returns path and content of the manifest that `settings` names.

    Raises:
        DataError: It cannot be read.
    """
    assert settings.manifest is not None
    path = os.path.join(root, settings.manifest)
    try:
        return path, read_file(path)
    except FileProblem as problem:
        raise DataError(
            f"data.manifest: got {settings.manifest!r} ({problem}); expected a CSV file, or a JSON file as COCO has "
            f"it; its path is relative to data.root {root!r}."
        ) from None


def _decode(path: str, data: bytes) -> str:
    if b"\0" in data:
        raise DataError(
            f"data.manifest: {path!r} is not plain text (it has NUL bytes); expected a CSV file in UTF-8. A "
            "spreadsheet program exports one as `CSV UTF-8`."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"data.manifest: line {line} of {path!r} is not UTF-8 (byte 0x{data[error.start]:02x}). Save the file as "
            "`CSV UTF-8`, or convert it: iconv -f LATIN1 -t UTF-8."
        ) from None


def _records(root: str, rows: csv.DictReader, settings: IngestSettings) -> Iterator[FileRecord]:
    seen, describe = set(), describer(root)
    has_masks = TASKS[settings.task].has_masks
    classes = read_classes(root)[0] if has_masks else []
    for row in rows:
        # A short row has None in its last columns; a long one has the rest under the key None.
        values = {name: (row[name] or "").strip() for name in rows.fieldnames or ()}
        labels, label_problem = ((), None) if has_masks else read_labels(values[settings.label_column], settings)
        given = values[settings.path_column]
        text = values[settings.text_column] if settings.with_text else None
        # Words without a picture are known by their row, as those in tables are.
        row_alone = text is not None and not given
        record = FileRecord(
            path=f"{settings.manifest}:{rows.line_num}" if row_alone else posixpath.normpath(given),
            text=text,
            has_file=not row_alone,
            labels=labels,
            folder=values[settings.split_column] if settings.split_column else None,
            slices={name: values[name] for name in settings.slice_columns},
            group=values[settings.group_column] if settings.group_column else None,
        )
        key = (given, record.labels, record.folder, text)
        problem = label_problem or (None if row_alone else path_problem(given, record.path))
        if not problem and text:
            problem = text_problem(text, settings)
        if row_alone and not text:
            problem = FileProblem("empty row", "it has neither the path of a picture nor a text")
        mask = posixpath.normpath(values[settings.mask_column]) if has_masks else None
        if mask is not None and not problem:
            problem = path_problem(values[settings.mask_column], mask)
        if None in row:
            problem = FileProblem("bad row", "it has more fields than columns; put a field with commas in quotes")
        if not problem and key in seen:
            problem = FileProblem("duplicate row", "an earlier row says the same")
        seen.add(key)
        where = f"line {rows.line_num} of the manifest"
        if problem:
            record = record.without(problem)
        elif mask is not None:
            record = with_mask(record, mask, classes, describe)
        elif not row_alone:
            record = describe(record)
        if record.reason:
            record = record.without(FileProblem(record.reason, f"{where}: {record.detail}"))
        yield record


def path_problem(given: str, path: str) -> FileProblem | None:
    """Says what is wrong with a path.

    Args:
        given: As in the manifest.
        path: The same, normalized.
    """
    if not given:
        return FileProblem("empty path", "expected the path of a file")
    if path.startswith("/") or path == ".." or path.startswith("../"):
        return FileProblem("unsafe path", "it leaves the data root; expected a path relative to data.root")
    if "\\" in given:
        return FileProblem("unsafe path", "it has a backslash; expected folders separated by /")
    return None

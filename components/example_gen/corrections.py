"""Labels that somebody has corrected, in a table beside the data, which stay as they are."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator

from components.example_gen.files import FileProblem, printable
from components.example_gen.layouts import Listing
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from finetune.errors import DataError, did_you_mean

COLUMNS = ("path", "label")
SHOWN_PROBLEMS = 10


def corrected(listing: Listing, settings: IngestSettings) -> Listing:
    """Gives the examples that `settings.corrections` names the labels that it says.

    Args:
        listing: What the data say.
        settings: Of the ingest.

    Raises:
        DataError: The table cannot be read, or names a path twice, or one that is not there, or a label that no example
            of the data has.
    """
    if settings.corrections is None:
        return listing
    labels, problems = _read(settings.corrections, settings.task)
    paths = {record.path for record in listing.files}
    known = set(listing.classes)
    for path, (line, names) in labels.items():
        if path not in paths:
            # Nearness is looked for in few names alone, as it takes long.
            near = did_you_mean(path, [one for one in paths if one.rsplit("/")[-1] == path.rsplit("/")[-1]])
            problems.append(f"line {line}: got the path {printable(path)!r}, which is not among the data.{near}")
        problems += [
            f"line {line}: got the label {printable(name)!r}, which no example of the data has."
            f"{did_you_mean(name, known)}"
            for name in names
            if name not in known
        ]
    if problems:
        more = [f"... and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise DataError("\n".join(f"data.corrections: {each}" for each in (*problems[:SHOWN_PROBLEMS], *more)))
    files = [
        dataclasses.replace(record, labels=labels[record.path][1]) if record.path in labels else record
        for record in listing.files
    ]
    return dataclasses.replace(listing, files=files)


def _read(path: str, task: str) -> tuple[dict[str, tuple[int, tuple[str, ...]]], list[str]]:
    """Returns line and labels of each path, and what is wrong with single rows."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    problems = []
    for line, example, cell in _rows(path):
        if example in found:
            first = found[example][0]
            problems.append(f"line {line}: {printable(example)!r} is in line {first} already; leave one out")
            continue
        try:
            found[example] = line, TASKS[task].labels_of(cell, None)
        except FileProblem as problem:
            problems.append(f"line {line}: {problem}")
    return found, problems


def _rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Yields line, path and label of each row."""
    expected = "expected a CSV file with the columns path and label, such as label_errors.csv of a run"
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            text = file.read()
    except OSError as error:
        raise DataError(f"data.corrections: got {path!r} ({error.strerror}); {expected}.") from None
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            received = printable(", ".join(columns)) or "an empty file"
            raise DataError(f"data.corrections: {path}: got {received}; {expected}.")
        places = [columns.index(name) for name in COLUMNS]
        for row in reader:
            if not row:
                continue
            if len(row) < len(columns):
                raise DataError(
                    f"data.corrections: {path}: line {reader.line_num} has {len(row)} cells; expected {len(columns)}."
                )
            yield reader.line_num, row[places[0]], row[places[1]].strip()
    except csv.Error as error:
        raise DataError(f"data.corrections: {path}: line {reader.line_num}: {error}; {expected}.") from None

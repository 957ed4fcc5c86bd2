"""The table of what a model was shown: `finetune predict --output` writes it, `data.serving_log` names it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from finetune.errors import DataError
from finetune.files import replacing

# Between several labels of a row.
SEPARATOR = "|"
_LONGEST_CELL = 2**24


@dataclass(frozen=True)
class ServedRow:
    """A row of the table. A reader needs `path` or `text`, and takes no row with an `error`.

    Attributes:
        path: Of the picture, or of the file with the text; relative to the folder of the table, or absolute.
        text: The text, where there is no file.
        label: What the model said.
        probability: Of its most probable class; None where it said nothing.
        error: Why it said nothing.
    """

    path: str = ""
    text: str = ""
    label: str = ""
    probability: float | None = None
    error: str = ""


COLUMNS = tuple(field.name for field in fields(ServedRow))


def write_serving_log(path: Path, rows: Iterable[ServedRow]) -> int:
    """Writes the table, a row at a time; it appears when it is whole.

    Returns:
        The number of rows.
    """
    written = 0
    # As in file names, bytes that are not UTF-8 are surrogates.
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            probability = "" if row.probability is None else f"{row.probability:.6f}"
            writer.writerow({**asdict(row), "probability": probability})
            written += 1
    return written


def read_serving_log(path: Path) -> Iterator[ServedRow]:
    """Yields each row that has no error; a path is whole.

    Raises:
        DataError: There is no such table, or it has neither a column `path` nor `text`.
    """
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            if not {"path", "text"} & set(found):
                raise DataError(
                    f"data.serving_log: got {str(path)!r} with the columns {', '.join(found) or 'none'}; expected "
                    "`path` or `text`, as `finetune predict --output FILE.csv` writes."
                )
            for row in reader:
                known: dict[str, Any] = {name: row.get(name) or "" for name in ("path", "text", "label", "error")}
                if (known["path"] or known["text"]) and not known["error"]:
                    whole = str(path.parent / known["path"]) if known["path"] else ""
                    yield ServedRow(**{**known, "path": whole})
    except (OSError, csv.Error) as error:
        raise DataError(
            f"data.serving_log: got {str(path)!r}, which cannot be read ({error}); expected a CSV file, as "
            "`finetune predict --output FILE.csv` writes."
        ) from None


def drawn_rows(rows: Iterable[ServedRow], most: int, seed: int = 0) -> list[ServedRow]:
    """Draws rows without holding the others: each of them is as likely as any other (Vitter 1985, algorithm R)."""
    random = np.random.default_rng(seed)
    drawn: list[ServedRow] = []
    for number, row in enumerate(rows):
        if len(drawn) < most:
            drawn.append(row)
        elif (place := int(random.integers(number + 1))) < most:
            drawn[place] = row
    return drawn

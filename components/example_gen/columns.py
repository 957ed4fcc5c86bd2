"""Whether a table has the columns that the config names. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.example_gen.settings import IngestSettings
from finetune.errors import DataError, did_you_mean


def check_columns(path: str, received: Sequence[str], wanted: Mapping[str, str | None]) -> None:
    """Holds the columns of a table against those that are wanted.

    Args:
        path: Of the table.
        received: Names of its columns.
        wanted: Config key below `data` to the name of a column; None where none is wanted.

    Raises:
        DataError: A column is missing or there twice; the message names all of them.
    """
    problems = []
    for key, name in wanted.items():
        if name is None:
            continue
        if received.count(name) > 1:
            problems.append(f"data.{key}: {path!r} has {received.count(name)} columns named {name!r}; expected one.")
        elif name not in received:
            columns = ", ".join(map(repr, received)) or "none: the file is empty"
            problems.append(
                f"data.{key}: got {name!r}; the columns of {path!r} are {columns}.{did_you_mean(name, received)}"
            )
    if problems and len(received) == 1 and any(mark in received[0] for mark in ";\t"):
        problems.append("The columns seem to be separated by semicolons or tabs; expected commas.")
    if problems:
        raise DataError("\n".join(problems))


def common_columns(settings: IngestSettings) -> dict[str, str | None]:
    """The columns that every kind of table may have, as `check_columns` wants them."""
    slices = {f"slice_columns[{i}]": name for i, name in enumerate(settings.slice_columns)}
    ours = {name: getattr(settings, name) for name in ("label_column", "split_column", "group_column")}
    return {**ours, **slices}

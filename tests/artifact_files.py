"""The files of a run's artifacts, under names that do not depend on the numbers of executions."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path


def artifact_files(root: Path) -> dict[str, Path]:
    """Returns the files of a run below TFX's pipeline root, by `<node>/<output>/<path in the artifact>`."""
    found: dict[str, Path] = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        node, output, execution, *inner = file.relative_to(root).parts
        if output.startswith(".") or not execution.isdecimal():
            continue
        name = "/".join((node, output, *inner))
        assert name not in found, f"{node} has run twice"
        found[name] = file
    return found


def artifact_files_of_runs(root: Path) -> dict[str, Path]:
    """Returns the same of several runs, by `<node>/<output>/<number of the execution, from 0>/<path inside>`."""
    found: dict[str, Path] = {}
    for output in sorted(one for one in root.glob("*/*") if not one.name.startswith(".")):
        executions = sorted((one for one in output.iterdir() if one.name.isdecimal()), key=lambda one: int(one.name))
        for place, execution in enumerate(executions):
            inner = (path for path in execution.rglob("*") if path.is_file())
            found |= {f"{output.relative_to(root)}/{place}/{file.relative_to(execution)}": file for file in inner}
    return found


def same_content(one: Path, other: Path) -> bool:
    """Tells whether two files hold the same bytes; TFMA writes the slices of an evaluation in any order."""
    if one.match("Evaluator/evaluation/*/*.tfrecord"):
        return sorted(_records(one)) == sorted(_records(other))
    return one.read_bytes() == other.read_bytes()


def _records(file: Path) -> Iterator[bytes]:
    """Yields the records of a TFRecord file that is not compressed: length and its checksum, data and theirs."""
    data, place = file.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        yield data[place + 12 : place + 12 + length]
        place += 12 + length + 4

"""The files of a run's artifacts, under names that do not depend on the numbers of executions."""

from __future__ import annotations

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


def same_bytes(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()

"""No circle of files: what a file imports, inside functions too, never leads back to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "finetune_kubeflow": ROOT / "kubeflow" / "finetune_kubeflow",
    **{
        name: ROOT / name
        for name in (
            *("finetune", "transforms", "registry", "evaluation", "trainer_module"),
            *("components", "pipeline", "finetune_cli"),
        )
    },
}


def files(folders: dict[str, Path]) -> dict[str, Path]:
    """Each file by the dotted name that imports it."""
    found = {}
    for package, folder in folders.items():
        for path in folder.rglob("*.py"):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yields what a file imports of ours: `from package import name` is the module `name`, or the package itself."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import, which this test cannot follow"
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        else:
            continue
        yield from (full if full in known else short for full, short in names if short in known)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """A circle through each file that is in one, the shortest first."""
    found = []
    for start in sorted(graph):
        paths = [[start]]
        seen = {start}
        while paths:
            path = paths.pop(0)
            if start in graph[path[-1]]:
                found.append([*path, start])
                break
            paths += [[*path, name] for name in sorted(graph[path[-1]] - seen)]
            seen |= graph[path[-1]]
    return sorted(found, key=len)


def graph_of(folders: dict[str, Path]) -> dict[str, set[str]]:
    known = files(folders)
    return {name: set(imported(path, known)) for name, path in known.items()}


def test_there_is_no_circle_of_files():
    found = circles(graph_of(FOLDERS))
    assert not found, "these files import each other: " + "; ".join(" > ".join(circle) for circle in found)


def test_no_folder_is_forgotten():
    packages = {path.parent.name for path in [*ROOT.glob("*/__init__.py"), *ROOT.glob("kubeflow/*/__init__.py")]}
    assert packages - set(FOLDERS) <= {"benchmarks"}


@pytest.mark.parametrize("how", ["import made.b", "from made import b", "def f():\n    from made.b import x"])
def test_a_circle_is_found_and_named(tmp_path: Path, how: str):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "a.py").write_text(how)
    (tmp_path / "b.py").write_text("from made.c import x")
    (tmp_path / "c.py").write_text("import made.a")
    graph = graph_of({"made": tmp_path})
    assert ["made.a", "made.b", "made.c", "made.a"] in circles(graph)
    assert circles({**graph, "made.c": set()}) == []

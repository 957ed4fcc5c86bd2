"""Digests of the code that a node can run, so that TFX's cache reruns a node when that code changes, and only then.

What a node can run is the closure of imports within our packages, read from the sources without importing them. An
import inside a function counts, and so does a string that names a module of ours, such as the `run_fn` of a Trainer, or
a file beside the module that names it, such as a table of figures or a script that is started. Comments, docstrings,
formatting and the names of licences do not count.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

OUR_PACKAGES = ("finetune", "transforms", "registry", "evaluation", "trainer_module", "components", "pipeline")
LICENCE_NAMES = frozenset({"licence", "license", "__licence__", "__license__"})

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


@cache
def installed() -> Sources:
    """Returns the sources that this process runs, wherever they are installed; each file is read once a process."""
    found = {package: find_spec(package) for package in OUR_PACKAGES}
    return Sources({name: Path(spec.origin).parent for name, spec in found.items() if spec and spec.origin})


def node_digest(modules: Iterable[str]) -> str:
    """Returns the digest of what a node runs: the code of these modules of ours, and TFX with all that it fixes."""
    return hashlib.sha256(f"tfx {version('tfx')}\n{installed().digest(modules)}".encode()).hexdigest()


@dataclass(frozen=True)
class _File:
    """What a module's file says.

    Attributes:
        names: Dotted names that it imports or holds as strings, of whatever package.
        files: Itself and what it names beside it, a file or a folder of data, by names such as `transforms/image.py`.
        digest: Of its code.
    """

    names: tuple[str, ...]
    files: Mapping[str, Path]
    digest: str


class Sources:
    """Our packages as files, and what they import of each other."""

    def __init__(self, folders: Mapping[str, Path]):
        """Takes the folder of each top-level package."""
        self._folders = dict(folders)
        self._read: dict[Path, _File] = {}

    def digest(self, modules: Iterable[str]) -> str:
        """Returns the SHA-256, in hexadecimal, of all that these modules can run and read.

        Args:
            modules: Dotted names.

        Raises:
            KeyError: One of them is no module of ours.
        """
        total = hashlib.sha256()
        for name, file in sorted(self.closure(modules).items()):
            is_code = file in self._read
            found = self._read[file].digest if is_code else hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{name}\0{found}\n".encode())
        return total.hexdigest()

    def bytes_digest(self) -> str:
        """Returns the SHA-256, in hexadecimal, of every byte of our packages, which takes no parsing."""
        return hashlib.sha256(repr(sorted(self.package_digests().items())).encode()).hexdigest()

    def package_digests(self) -> dict[str, str]:
        """Returns that of each package by its name."""
        found = {}
        for package, folder in self._folders.items():
            total = hashlib.sha256()
            for file in sorted(folder.rglob("*")):
                if file.suffix != ".pyc" and file.is_file():
                    total.update(f"{self._shown(file)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
            found[package] = total.hexdigest()
        return found

    def closure(self, modules: Iterable[str]) -> dict[str, Path]:
        """Returns the files that these modules can run or read, by names such as `transforms/image.py`."""
        waiting = [part for module in modules for part in _with_packages(module)]
        seen: set[str] = set()
        files: dict[str, Path] = {}
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            if module not in self.modules:
                raise KeyError(f"{module}: no module of {', '.join(self._folders)}")
            file = self._file(self.modules[module])
            files |= file.files
            for name in file.names:
                imported = self.module_of(name)
                waiting += _with_packages(imported) if imported else []
        return files

    def module_of(self, name: str) -> str | None:
        """Returns the module that a dotted name is, or is something in; None where it is not of ours."""
        if name.partition(".")[0] not in self._folders:
            return None
        while name not in self.modules:
            name = name.rpartition(".")[0]
        return name

    @cached_property
    def modules(self) -> dict[str, Path]:
        """The file of every module, by dotted name; that of a package is its `__init__.py`."""
        found = {}
        for package, folder in self._folders.items():
            for file in folder.rglob("*.py"):
                parts = (package, *file.relative_to(folder).with_suffix("").parts)
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        return found

    def _shown(self, file: Path) -> str:
        package, folder = next((name, at) for name, at in self._folders.items() if file.is_relative_to(at))
        return f"{package}/{file.relative_to(folder).as_posix()}"

    def _file(self, path: Path) -> _File:
        if path not in self._read:
            tree = ast.parse(path.read_bytes(), filename=str(path))
            nodes = list(_running(tree))
            strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            names = {*_imported(nodes), *(text for text in strings if _DOTTED.fullmatch(text))}
            beside = list(_beside(path, strings))
            files = {self._shown(one): one for one in (path, *beside)}
            code = ast.dump(_WithoutWords().visit(tree))
            self._read[path] = _File(tuple(sorted(names)), files, hashlib.sha256(code.encode()).hexdigest())
            for script in beside:
                if script.suffix == ".py":
                    self._file(script)
        return self._read[path]


def _with_packages(module: str) -> list[str]:
    """The module and the packages that it is in, whose `__init__` runs first."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a tree but for those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _beside(path: Path, strings: set[str]) -> Iterator[Path]:
    for other in path.parent.iterdir():
        if other.name in strings and other != path:
            inside = other.rglob("*") if other.is_dir() else ()
            yield from (other,) if other.is_file() else (one for one in inside if one.is_file() and _is_data(one))


def _is_data(file: Path) -> bool:
    return file.suffix not in (".py", ".pyc")


class _WithoutWords(ast.NodeTransformer):
    """Takes out what changes nothing: docstrings, other strings that stand alone, names of licences."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node.value) else self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        return None if node.arg in LICENCE_NAMES and _is_text(node.value) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return None if names & LICENCE_NAMES and _is_text(node.value) else self.generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)

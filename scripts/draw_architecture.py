"""Draws the floors of the code as an SVG, which `make docs` keeps as docs/images/architecture.svg.

The floors and their order come from the layers contract in pyproject.toml, what they say of themselves, their rooms and
the tables of their seams from the sources, and which floor imports which from the import graph.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path

import grimp
from importlinter.api import read_configuration

ROOT = Path(__file__).parents[1]
# The seams' tables, wherever one is assigned.
TABLES = ("METRICS", "STRATEGIES", "SOURCES", "TASKS", "MODALITIES", "SECTIONS")

LEFT, BOX, CELL, TOP, LINE, PAD, GAP = 16, 800, 30, 142, 16, 8, 8
WRAP = 146
LEGEND = (
    "Each box is a top-level folder: what it is for, the packages/ and modules in it, and in blue the tables of seams.",
    "On the right, a ring is the floor itself and a dot is a floor that it imports.",
    "Every dot lies to the right of its ring: imports point down.",
)


@dataclass(frozen=True)
class Floor:
    """A top-level folder.

    Attributes:
        name: As it is imported.
        summary: The first sentence of its docstring.
        rooms: Names of its packages and modules, packages first and with a slash.
        tables: For each table of a seam, the module that assigns it and its entries.
        imports: Names of the other floors that it imports, also inside functions.
    """

    name: str
    summary: str
    rooms: tuple[str, ...]
    tables: tuple[tuple[str, str, tuple[str, ...]], ...]
    imports: frozenset[str]


def floors() -> list[Floor]:
    """Reads the floors, top floor first."""
    options = read_configuration(str(ROOT / "pyproject.toml"))
    (contract,) = (one for one in options["contracts_options"] if one["type"] == "layers")
    graph = grimp.build_graph(*contract["layers"], cache_dir=None)
    for name in contract["layers"]:
        graph.squash_module(name)
    return [_floor(name, frozenset(graph.find_modules_directly_imported_by(name))) for name in contract["layers"]]


def _floor(name: str, imports: frozenset[str]) -> Floor:
    spec = find_spec(name)
    assert spec is not None, name
    folder = Path(str(spec.origin)).parent
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return Floor(
        name,
        _first_sentence(folder / "__init__.py"),
        (*(f"{package}/" for package in packages), *modules),
        tuple(table for path in sorted(folder.rglob("*.py")) for table in _tables(path, folder.parent)),
        imports,
    )


def _first_sentence(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split()).split(". ")[0].rstrip(".").replace("`", "") + "."


def _tables(path: Path, root: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    module = path.relative_to(root).with_suffix("").as_posix().removesuffix("/__init__")
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id in TABLES and statement.value is not None:
            yield module, target.id, tuple(_entries(statement.value))


def _entries(table: ast.expr) -> Iterator[str]:
    """The keys of a dict; of a comprehension, the objects that it goes over."""
    if isinstance(table, ast.Dict):
        yield from (key.value if isinstance(key, ast.Constant) else ast.unparse(key) for key in table.keys if key)
    elif isinstance(table, ast.DictComp):
        yield from _entries(table.generators[0].iter)
    elif isinstance(table, ast.Tuple | ast.List):
        for element in table.elts:
            said = ast.unparse(element).lstrip("*").removesuffix("()").rpartition(".")[2]
            yield said.lower() if said.isupper() else said


def draw(house: list[Floor]) -> str:
    """Draws the floors as boxes, and beside them, in the row of each floor, a dot for every floor that it imports."""
    shapes: list[str] = []
    middles: dict[str, float] = {}
    y = TOP
    for floor in house:
        rooms = textwrap.wrap(", ".join(floor.rooms), WRAP, break_on_hyphens=False)
        tables = [
            line
            for module, name, entries in floor.tables
            for line in textwrap.wrap(f"{name} ({module}): {', '.join(entries)}", WRAP, subsequent_indent="    ")
        ]
        height = 2 * PAD + LINE * (1 + len(rooms) + len(tables)) - 2
        middles[floor.name] = y + height / 2
        shapes.append(f'<rect x="{LEFT}" y="{y}" width="{BOX}" height="{height}" rx="4" class="floor"/>')
        baseline = y + PAD + 11
        shapes.append(
            f'<text x="{LEFT + 12}" y="{baseline}"><tspan class="name">{floor.name}</tspan>'
            f'<tspan dx="10" class="says">{escape(floor.summary)}</tspan></text>'
        )
        for style, line in [*(("room", row) for row in rooms), *(("table", row) for row in tables)]:
            baseline += LINE
            indent = 12 if line.startswith("    ") else 0
            shapes.append(
                f'<text x="{LEFT + 12 + indent}" y="{baseline}" class="{style}">{escape(line.strip())}</text>'
            )
        y += height + GAP
    bottom = y - GAP
    columns = {floor.name: LEFT + BOX + 34 + CELL * place for place, floor in enumerate(house)}
    for name, x in columns.items():
        shapes.append(f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{bottom}" class="rule"/>')
        shapes.append(f'<text transform="translate({x + 4} {TOP - 14}) rotate(-60)" class="column">{name}</text>')
    for floor in house:
        at = middles[floor.name]
        shapes.append(f'<circle cx="{columns[floor.name]}" cy="{at}" r="4" class="own"/>')
        for other in sorted(floor.imports):
            shapes.append(f'<circle cx="{columns[other]}" cy="{at}" r="5" class="dot"/>')
    width = max(columns.values()) + 90
    body = "\n".join(shapes)
    legend = "\n".join(f'<text x="{LEFT}" y="{56 + 18 * row}">{line}</text>' for row, line in enumerate(LEGEND))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 16}" width="{width}" \
height="{bottom + 16}" role="img" aria-label="The floors of the code, top floor first, and which imports which">
<style>
text {{ font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 11px; fill: #24303c }}
.title {{ font-size: 17px; font-weight: bold }} .name {{ font-size: 13px; font-weight: bold }} .says {{ fill: #465564 }}
.room {{ fill: #6b7884; font-size: 10px }} .table {{ fill: #2f5d8a; font-size: 10px }} .column {{ font-weight: bold }}
.floor {{ fill: #f5f7f9; stroke: #c3ccd4 }} .rule {{ stroke: #e0e5ea }} .dot {{ fill: #2f5d8a }}
.own {{ fill: none; stroke: #8896a4 }}
</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{LEFT}" y="34" class="title">The floors of the code</text>
{legend}
{body}
</svg>
"""


if __name__ == "__main__":
    sys.stdout.write(draw(floors()))

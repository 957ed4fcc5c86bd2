"""Texts, in tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.example_gen.settings import IngestSettings
    from components.example_gen.text_component import TextExampleGen


class Text:
    """One row an example."""

    node_id = "TextExampleGen"
    on_beam = False
    judge: str | None = None
    shown = "texts"
    layouts: tuple[str, ...] = ("auto", "table")
    keys: tuple[str, ...] = ("data.columns", "data.text_column", "data.text_columns", "data.max_characters")

    def component(self) -> type[TextExampleGen]:
        """Returns TextExampleGen."""
        from components.example_gen.text_component import TextExampleGen

        return TextExampleGen

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns the bytes of the tables, as a digest."""
        from components.example_gen.tables import fingerprint_tables

        return fingerprint_tables(root)

    def recognises(self, path: Path) -> bool:
        """Finds a table, or a folder with tables and no folders."""
        from components.example_gen.tables import EXTENSIONS

        if not path.is_dir():
            return path.is_file() and path.name.lower().endswith(EXTENSIONS)
        inside = [each for each in path.iterdir() if not each.name.startswith(".")]
        has_tables = any(each.name.lower().endswith(EXTENSIONS) for each in inside)
        return has_tables and not any(each.is_dir() for each in inside)

    def root_problem(self, path: Path) -> str | None:
        """Wants a file or a folder."""
        return None if path.exists() else "which is not here; expected a CSV, TSV or JSONL file, or a folder of them"

    def raw(self, data: bytes) -> bytes:
        """Returns the bytes."""
        return data

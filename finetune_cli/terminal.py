"""Text on a terminal: never markup, never control codes, and only what the console's encoding holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Part = str | tuple[str, str]


def clean(value: object) -> str:
    """`value` as one line without control codes: names and paths are input, and may carry escape sequences."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def encodable(console: Console, text: str) -> str:
    """`text` with what the console's encoding lacks replaced: an ASCII-only CI log must not end the run."""
    return text.encode(console.encoding, "replace").decode(console.encoding)


def styled(console: Console, *parts: Part) -> Text:
    """Plain text or (text, style) parts as rich text."""
    from rich.text import Text

    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((encodable(console, text), style) for text, style in pieces))


def print_table(console: Console, header: tuple[str, ...], rows: list[list[Part]], right: set[int]) -> None:
    """Prints a table after an empty line; columns at the places in `right` are aligned there."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1), show_edge=False)
    for index, title in enumerate(header):
        table.add_column(styled(console, clean(title)), justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.add_row(*(styled(console, (clean(text), style)) for text, style in cells))
    console.print()
    console.print(table)

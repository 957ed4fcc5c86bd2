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

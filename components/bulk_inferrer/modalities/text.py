"""The beginning of a text."""

from __future__ import annotations

from pathlib import Path

SHOWN_CHARACTERS = 500


class Text:
    """The text itself."""

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Returns its first characters; U+FFFD stands for bytes that are not UTF-8."""
        return {"text": value.decode("utf-8", "replace")[:SHOWN_CHARACTERS]}

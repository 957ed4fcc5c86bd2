"""The beginning of a text."""

from __future__ import annotations

from pathlib import Path

from transforms.features import BETWEEN_TEXTS

SHOWN_CHARACTERS = 500


class Text:
    """The text itself."""

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Returns its first characters, a stroke between those of a pair; U+FFFD for bytes that are not UTF-8."""
        return {"text": value.decode("utf-8", "replace").replace(BETWEEN_TEXTS, " / ")[:SHOWN_CHARACTERS]}

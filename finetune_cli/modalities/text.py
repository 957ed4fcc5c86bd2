"""Texts, as arguments or in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Text:
    """Texts in UTF-8; other bytes are replaced."""

    example = "--text 'a text'"

    def why_not(self, content: bytes) -> str:
        """Knows no reason: every text can be read."""
        return "the model cannot read it"

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Wants one batch of strings."""
        texts = len(inputs) == 1 and inputs[0]["dtype"] == "string"
        return "backbone.handle with backbone.modality: text" if texts else None

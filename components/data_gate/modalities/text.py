"""Texts as they are."""

from __future__ import annotations

from collections.abc import Sequence


class Text:
    """U+FFFD stands for bytes that are not UTF-8."""

    version: int | None = None

    def facts(self, value: bytes) -> bytes:
        """Returns all of it."""
        return value

    def fields(self, facts: Sequence[bytes]) -> dict[str, list[str]]:
        """Returns the field `texts`."""
        return {"texts": [each.decode("utf-8", "replace") for each in facts]}

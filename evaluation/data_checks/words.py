"""Words of texts."""

from __future__ import annotations

import re

# Words that a text has to have for what it is about, or its language, to be told: shorter ones differ by that alone.
LEAST_WORDS = 5


def words_of(text: str) -> list[str]:
    """Returns the words of a text without regard to case; numbers are none."""
    return re.findall(r"[^\W\d_]+", text.casefold())

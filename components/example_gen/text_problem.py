"""Whether a text can be used. No TensorFlow here."""

from __future__ import annotations

from components.example_gen.files import FileProblem
from components.example_gen.settings import IngestSettings


def text_problem(text: str, settings: IngestSettings) -> FileProblem | None:
    """Says why a text, or a pair of them, cannot be used; None for one that can."""
    max_characters = settings.max_characters
    if not_utf8(text):
        return FileProblem("not text", "it has bytes that are not UTF-8; convert the file: iconv -f LATIN1 -t UTF-8")
    if not text.strip():
        return FileProblem("empty text", "expected at least one letter")
    if len(text) > max_characters:
        return FileProblem(
            "too long",
            f"it has {len(text):,} characters; expected at most {max_characters:,}. Cut it, or raise "
            "data.max_characters",
        )
    return None


def not_utf8(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)

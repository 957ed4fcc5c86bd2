"""Sounds in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.example_gen.files import FileProblem
from components.example_gen.modalities import MODALITIES


class Audio:
    """Paths of sounds; each becomes what the ingest makes of it before the model gets it."""

    example = "sound.wav"

    def why_not(self, content: bytes) -> str:
        """Looks at the format, the samples and the end of the file."""
        try:
            MODALITIES["audio"].raw(content)
        except FileProblem as problem:
            return str(problem)
        return "the model cannot decode it"

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Knows no SavedModels of sounds."""
        return None

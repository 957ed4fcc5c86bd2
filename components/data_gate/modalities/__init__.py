"""What checks of the data know of an example beside its features.

One modality more is one file with an object like those in `MODALITIES`, and one line there. Of a modality that is not
there, checks know the features alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from components.data_gate.modalities.image import Image
from components.data_gate.modalities.text import Text


class CheckedModality(Protocol):
    """What the data gate asks of a modality.

    Attributes:
        version: Of what `facts` gives for the same bytes; None where making it takes no longer than keeping it.
    """

    version: int | None

    def facts(self, value: bytes) -> bytes:
        """Makes of the raw feature of one example what is kept of it."""

    def fields(self, facts: Sequence[bytes]) -> dict[str, Any]:
        """Returns fields of `evaluation.data_checks.Examples`, by name, from the facts of each example."""


MODALITIES: dict[str, CheckedModality] = {
    "image": Image(),
    "text": Text(),
}

"""A small picture with the beginning of its words."""

from __future__ import annotations

from pathlib import Path

from components.bulk_inferrer.modalities.image import Image
from components.bulk_inferrer.modalities.text import Text
from transforms.features import IMAGE, TEXT


class ImageText:
    """What both sides show; of a side that is not there nothing."""

    def __init__(self, image: Image, text: Text):
        """Takes those of the sides."""
        self._of_sides: dict[str, Image | Text] = {IMAGE: image, TEXT: text}

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Makes those of both sides."""
        from transforms.sides import unpack

        shown: dict[str, str] = {}
        for side, data in unpack(value).items():
            if data:
                shown |= self._of_sides[side].preview(data, stem)
        return shown or {"text": ""}

"""Pictures with words: a file and a text each, or a manifest of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_cli.modalities.image import Image


class ImageText:
    """Paths of pictures with a text each, or CSV files with the columns `path` and `text`."""

    example = "image.jpg --text 'a text'"

    def __init__(self, image: Image):
        """Takes what looks at pictures."""
        self._image = image

    def why_not(self, content: bytes) -> str:
        """Looks at the picture, as every text can be read."""
        from google.protobuf.message import DecodeError

        from transforms.sides import unpack

        try:
            picture = unpack(content)["image"]
        except DecodeError:
            picture = b""
        return self._image.why_not(picture) if picture else "there is neither a picture nor a text"

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Knows no SavedModels of both."""
        return None

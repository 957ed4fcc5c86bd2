"""Pictures with words: a file and a text each, or a manifest of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ImageText:
    """Paths of pictures with a text each, or CSV files with the columns `path` and `text`."""

    example = "image.jpg --text 'a text'"

    def why_not(self, content: bytes) -> str:
        """Looks at the picture, as every text can be read."""
        from google.protobuf.message import DecodeError

        from finetune_cli.modalities import MODALITIES
        from transforms.sides import unpack

        try:
            picture = unpack(content)["image"]
        except DecodeError:
            picture = b""
        return MODALITIES["image"].why_not(picture) if picture else "there is neither a picture nor a text"

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Knows no SavedModels of both."""
        return None

"""How the report shows an example of a modality.

One modality more is one file with an object like those in `MODALITIES`, and one line there;
`components.bulk_inferrer.modalities.contract.check_modality` is its contract.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from components.bulk_inferrer.modalities.audio import Audio
from components.bulk_inferrer.modalities.image import Image
from components.bulk_inferrer.modalities.image_text import ImageText
from components.bulk_inferrer.modalities.text import Text


class PreviewModality(Protocol):
    """What the bulk inferrer asks of a modality."""

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Makes a preview.

        Args:
            value: The raw feature of one example.
            stem: Path of what to write, without its extension; its folder is there.

        Returns:
            `text`; or `image`, the name of a picture that it wrote, and maybe `sound`, that of a sound, or `text` too.
        """


MODALITIES: dict[str, PreviewModality] = {
    "audio": Audio(),
    "image": Image(),
    "image_text": ImageText(Image(), Text()),
    "text": Text(),
}

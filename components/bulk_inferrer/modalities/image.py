"""Thumbnails of pictures."""

from __future__ import annotations

import io
from pathlib import Path

THUMBNAIL = (192, 192)


class Image:
    """A small JPEG."""

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Writes what the network sees: a JPEG is turned as its EXIF orientation says, other formats are not."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        path = stem.with_suffix(".jpg")
        with Pillow.open(io.BytesIO(value)) as picture:
            upright = ImageOps.exif_transpose(picture) if picture.format == "JPEG" else picture
            ImageOps.contain(upright.convert("RGB"), THUMBNAIL).save(path, quality=85)
        return {"image": path.name}

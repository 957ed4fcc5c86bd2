"""Pictures: a small thumbnail of each, and how large the file is."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np

from evaluation.data_checks.check import THUMBNAIL, Pictures

_SIZES = struct.Struct("<qqq")


class Image:
    """Pillow decodes a JPEG at an eighth of its size where that is enough, in a fraction of the time."""

    version: int | None = 1

    def facts(self, value: bytes) -> bytes:
        """Returns width, height and bytes of the file, then the pixels of the thumbnail."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        with Pillow.open(io.BytesIO(value)) as picture:
            width, height = picture.size
            is_jpeg = picture.format == "JPEG"
            if is_jpeg:
                picture.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
            small = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Pillow.Resampling.LANCZOS)
            if is_jpeg and (orientation := picture.getexif().get(0x0112, 1)) != 1:
                small.getexif()[0x0112] = orientation
                small = ImageOps.exif_transpose(small)
                width, height = (height, width) if orientation >= 5 else (width, height)
        return _SIZES.pack(width, height, len(value)) + small.tobytes()

    def fields(self, facts: Sequence[bytes]) -> dict[str, Pictures]:
        """Returns the field `pictures`."""
        sizes = np.array([_SIZES.unpack_from(each) for each in facts], np.int64).reshape(-1, 3)
        pixels = np.frombuffer(b"".join(each[_SIZES.size :] for each in facts), np.uint8)
        thumbnails = pixels.reshape(-1, THUMBNAIL, THUMBNAIL, 3)
        return {"pictures": Pictures(thumbnails, sizes[:, :2], sizes[:, 2])}

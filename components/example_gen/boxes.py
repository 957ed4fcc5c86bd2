"""Whether boxes are of the picture that they come with."""

from __future__ import annotations

import io

from PIL import Image

from components.example_gen.files import FileProblem
from transforms.objects import Objects


def check_size(data: bytes, text: str) -> None:
    """Holds a usable picture against the size that its boxes were drawn in; a JPEG as its EXIF orientation turns it.

    Args:
        data: The bytes of the picture.
        text: As `transforms.objects` writes it.

    Raises:
        FileProblem: The picture has another size.
    """
    objects = Objects.from_text(text)
    width, height, turned = _upright(data)
    if (width, height) != (objects.width, objects.height):
        how = ", as its EXIF orientation turns it" if turned else ""
        raise FileProblem(
            "another size",
            f"got {width} x {height} pixels{how}, and the manifest says {objects.width} x {objects.height}: "
            "boxes would be elsewhere",
        )


def upright_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of a usable picture in pixels; of a JPEG as its EXIF orientation turns it."""
    width, height, _ = _upright(data)
    return width, height


def _upright(data: bytes) -> tuple[int, int, bool]:
    """Returns width, height, and whether the orientation has exchanged them."""
    with Image.open(io.BytesIO(data)) as picture:
        turned = picture.format == "JPEG" and picture.getexif().get(_ORIENTATION, 1) >= _FIRST_ON_ITS_SIDE
        width, height = reversed(picture.size) if turned else picture.size
    return width, height, turned


# The tag, and the first of its values that exchange height and width.
_ORIENTATION, _FIRST_ON_ITS_SIDE = 0x0112, 5

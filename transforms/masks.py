"""Masks: which class each pixel of a picture is of. No TensorFlow here.

In the raw feature `mask` a mask is a grey PNG file of the picture's size, whose values are places in the example's own
labels, and VOID; so an example says by itself which class a value stands for.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Of a pixel that is of no class, or of which nobody knows: neither learned nor counted. As in Pascal VOC.
VOID = 255


def to_png(mask: np.ndarray) -> bytes:
    """Returns uint8 [height, width] as a grey PNG file; the same mask gives the same bytes."""
    return _file_of(Image.fromarray(mask, "L"))


def from_png(content: bytes) -> np.ndarray:
    """Returns the values of a PNG file, uint8 [height, width]: grey levels, or places in its palette."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.array(picture, np.uint8)


def resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns [height, width] of [..., ...]: at each pixel's middle, the value of the nearest pixel."""
    rows, columns = (
        np.minimum(((np.arange(wanted) + 0.5) * (had / wanted)).astype(np.int64), had - 1)
        for wanted, had in zip((height, width), mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def in_colours(mask: np.ndarray) -> bytes:
    """Returns uint8 [height, width] as a PNG file with the same values, each of which has a colour to look at."""
    picture = Image.fromarray(mask, "P")
    picture.putpalette([part for value in range(VOID + 1) for part in colour_of(value)])
    return _file_of(picture)


def _file_of(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def colour_of(value: int) -> tuple[int, int, int]:
    """Returns the red, green and blue of a value, each in [0, 255]; VOID is white.

    The first ones can be told apart by those who see no red or green, too (Okabe and Ito 2008); those that follow are
    of Pascal VOC's palette.
    """
    if value == VOID:
        return 255, 255, 255
    if value < len(_FIRST_COLOURS):
        return _FIRST_COLOURS[value]
    red, green, blue = (
        sum(((value >> (3 * place + channel)) & 1) << (7 - place) for place in range(3)) for channel in range(3)
    )
    return red, green, blue


_FIRST_COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (0, 0, 0),
)

"""Faults that are planted in pictures."""

from __future__ import annotations

from PIL import Image, ImageFilter


def dark(picture: Image.Image) -> Image.Image:
    """A third of the light."""
    return picture.point(lambda value: value // 3)


def blurred(picture: Image.Image) -> Image.Image:
    """Out of focus, by a sixteenth of the width."""
    return picture.filter(ImageFilter.GaussianBlur(picture.width / 16))

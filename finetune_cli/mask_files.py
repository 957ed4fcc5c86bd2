"""Masks that a model gives, as files that tools for masks read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.example_gen.boxes import upright_size
from components.example_gen.files import read_file
from components.example_gen.masks import CLASSES_FILE
from transforms.masks import in_colours, resized


class MaskFiles:
    """A folder with a PNG file for each picture, of its size, and `classes.txt`: line by line what a value stands for.

    The first line is that of the value 0, as in a folder that segmentation is trained on.
    """

    def __init__(self, folder: Path):
        """Makes the folder where there is none."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._written: set[str] = set()

    def write(self, picture: str, mask: npt.NDArray[np.uint8], classes: Sequence[str]) -> str:
        """Writes a mask as `PICTURE.png`, or `PICTURE_2.png` where another one had that name; returns its path.

        Args:
            picture: Path of a picture that was served, which says the size; a JPEG as its EXIF orientation turns it.
            mask: uint8 [size, size], as it is served.
            classes: Name of each value.
        """
        if not self._written:
            (self._folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        stem, number = Path(picture).stem, 1
        name = stem
        while name in self._written:
            number += 1
            name = f"{stem}_{number}"
        self._written.add(name)
        width, height = upright_size(read_file(picture))
        path = self._folder / f"{name}.png"
        path.write_bytes(in_colours(resized(mask, height, width)))
        return str(path)

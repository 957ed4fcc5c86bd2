"""Pictures with words, listed in a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.example_gen.modalities.image import Image

if TYPE_CHECKING:
    from components.example_gen.image_text_component import ImageTextExampleGen
    from components.example_gen.settings import IngestSettings


class ImageText:
    """One row of a manifest an example: the path of a picture and a text, either of which may be empty."""

    node_id = "ImageTextExampleGen"
    on_beam = True
    shown = "pictures with words"
    layouts: tuple[str, ...] = ("auto", "manifest")

    def __init__(self, image: Image):
        """Takes what judges pictures, of which most of it is."""
        self._image = image
        self.judge = image.judge
        of_words = ("data.text_column", "data.max_characters")
        self.keys = (*(key for key in image.keys if key.startswith("data.")), *of_words)

    def component(self) -> type[ImageTextExampleGen]:
        """Returns ImageTextExampleGen."""
        from components.example_gen.image_text_component import ImageTextExampleGen

        return ImageTextExampleGen

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns what that of pictures does, which holds the words of the manifest too."""
        return self._image.fingerprint(root, settings)

    def recognises(self, path: Path) -> bool:
        """Finds a folder with a CSV file of pictures and texts, by the default names of its columns."""
        for table in sorted(path.glob("*.csv")) if path.is_dir() else ():
            with table.open(encoding="utf-8-sig", errors="replace") as file:
                if {"path", "text"} <= {name.strip() for name in file.readline().split(",")}:
                    return True
        return False

    def root_problem(self, path: Path) -> str | None:
        """Wants a folder."""
        return self._image.root_problem(path)

    def raw(self, data: bytes) -> bytes:
        """Returns the bytes: those of a picture alone, packed, or of both sides, packed already."""
        return data

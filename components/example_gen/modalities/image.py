"""Pictures, in folders or listed in a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.example_gen.image_component import ImageExampleGen
    from components.example_gen.settings import IngestSettings


class Image:
    """One file an example."""

    node_id = "ImageExampleGen"
    on_beam = True
    judge: str | None = "components.example_gen.images"
    shown = "pictures"
    layouts: tuple[str, ...] = ("auto", "classes", "splits", "manifest", "masks")
    keys: tuple[str, ...] = (
        "data.manifest",
        "data.path_column",
        "data.mask_column",
        "data.max_pixels",
        "training.distillation.unlabelled",
    )

    def component(self) -> type[ImageExampleGen]:
        """Returns ImageExampleGen."""
        from components.example_gen.image_component import ImageExampleGen

        return ImageExampleGen

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns names, labels, sizes and times of the files, as a digest."""
        from components.example_gen.fingerprint import fingerprint

        return fingerprint(root, settings)

    def recognises(self, path: Path) -> bool:
        """Finds a folder of folders."""
        return path.is_dir() and any(each.is_dir() for each in path.iterdir() if not each.name.startswith("."))

    def root_problem(self, path: Path) -> str | None:
        """Wants a folder."""
        return None if path.is_dir() else "which is not a folder here; expected a folder of images"

    def raw(self, data: bytes) -> bytes:
        """Returns the bytes: what cannot be decoded shows when it is."""
        return data

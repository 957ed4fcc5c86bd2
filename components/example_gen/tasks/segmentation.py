"""Which class each pixel is of; the labels of a picture are the classes in its mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.example_gen.tasks.multi_label import MultiLabel
from components.example_gen.tasks.places import beside_places


class Segmentation(MultiLabel):
    """Masks are PNG files beside the pictures, and splits are cut as for several labels."""

    has_masks = True

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """Neither folders of classes nor labels say anything of pixels."""
        found = []
        manifest, layout = data.get("manifest"), data.get("layout")
        if manifest is not None and not str(manifest).lower().endswith(".csv"):
            found.append(
                f"data.manifest: got {manifest!r}; segmentation takes a CSV file with the columns `path` and `mask`, "
                "or without data.manifest the folders `images` and `masks` in data.root"
            )
        if layout not in (None, "auto", "masks", "manifest"):
            found.append(f"data.layout: got {layout!r}; segmentation expects `auto`, `masks` or `manifest`")
        return [*super().problems(data), *found, *beside_places(data, "segmentation", "masks", "the masks")]

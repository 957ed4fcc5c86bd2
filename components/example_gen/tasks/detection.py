"""Boxes around objects; the labels of a picture are the classes of its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from components.example_gen.tasks.multi_label import MultiLabel
from components.example_gen.tasks.places import beside_places


class Detection(MultiLabel):
    """Boxes come from a manifest as COCO or Pascal VOC has it, and splits are cut as for several labels."""

    has_boxes = True

    def problems(self, data: Mapping[str, Any]) -> list[str]:
        """Folders and tables say nothing of places."""
        manifest = data.get("manifest")
        found = []
        if data and not (isinstance(manifest, str) and PurePosixPath(manifest.lower()).suffix in (".json", "")):
            given = "missing" if manifest is None else f"got {manifest!r}"
            found.append(
                f"data.manifest: {given}; detection takes boxes from a JSON file in COCO's format, such as "
                "`coco.json`, or from a folder of XML files as Pascal VOC has them; its path is relative to data.root"
            )
        return [*super().problems(data), *found, *beside_places(data, "detection", "boxes", "the manifest")]

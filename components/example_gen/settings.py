"""What the user can choose about the ingest; `pipeline.config` validates the values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class IngestSettings:
    """The `data` section of a config, as far as it concerns the ingest.

    Attributes:
        layout: `auto`, `classes` (root/<class>/*), `splits` (root/<split>/<class>/*) or `manifest`.
        splits: Per split the folder under root (for a manifest: the value in its split column) that becomes it, or
            the fraction cut by content. None takes the defaults of `splits.plan_splits`.
        split_salt: Another salt cuts other splits.
        manifest: Path of a CSV file, relative to root.
        path_column, label_column, split_column: Columns of the manifest.
        slice_columns: Columns of the manifest that become features of the same name.
        max_bad_fraction: A larger fraction of unusable files stops the run; in [0, 1].
        max_pixels: Larger pictures (width x height) are skipped without decoding them.
        report_dir: Folder that keeps the report when the run is stopped; None keeps none.
    """

    layout: str = "auto"
    splits: dict[str, float | str] | None = None
    split_salt: str = ""
    manifest: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = None
    slice_columns: list[str] = field(default_factory=list)
    max_bad_fraction: float = 0.05
    max_pixels: int = 64_000_000
    report_dir: str | None = None

    @classmethod
    def from_json(cls, text: str) -> IngestSettings:
        """Reads the JSON object that the component carries as its `settings` execution property."""
        return cls(**json.loads(text))

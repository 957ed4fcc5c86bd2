"""What the user can choose about the ingest; `finetune.config` validates the values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class IngestSettings:
    """The `data` section of a config, as far as it concerns the ingest.

    Attributes:
        task: Of the config, one of `tasks.TASKS`.
        layout: `auto`, `classes` (root/<class>/*), `splits` (root/<split>/<class>/*), `manifest`,
            `masks` (see `masks.FOLDERS`), or for texts `table`.
        splits: Per split the folder under root (with a split column: the value in it; for tables: the name of the file
            without its extension) that becomes it, or the fraction cut by content. None takes the defaults of
            `splits.plan_splits`.
        split_salt: Another salt cuts other splits.
        window, spans, span_marker, span_min_age: Which spans are read, as the config has it (see `finetune.spans`).
        replay: Fields of `replay.Replay`, of what comes before the window; None reads nothing before it.
        manifest: Path of a CSV file, relative to root.
        columns: Names of a table's columns when its first line does not hold them.
        path_column: Column of the manifest.
        mask_column: Column of the manifest: path of a picture's mask.
        text_column: Column of tables of texts.
        text_columns: Columns of the two texts of a pair, in place of `text_column`; None where each row is one text.
        with_text: Whether each picture of a manifest comes with the words in `text_column`.
        label_column, split_column: Columns of either.
        label_separator: Stands between the labels in a cell of the label column; None for the task's own.
        group_column: Column of either; examples that share its value stay in one split.
        slice_columns: Columns of either that become features of the same name.
        max_bad_fraction: A larger fraction of unusable files stops the run; in [0, 1].
        max_pixels: Larger pictures (width x height) are skipped without decoding them.
        max_seconds: Longer sounds are skipped without decoding them.
        max_characters: Longer texts are skipped.
        corrections: CSV file of labels that stand in place of those of the data (see `corrections`); None for none.
        corrections_sha256: Digest of its bytes, so that a change of it is one of the data.
        assignments_dir: Folder that keeps the split of each example from span to span (see `assignments`); None keeps
            none.
        report_dir: Folder that keeps the report when the run is stopped; None keeps none.
        cache_dir: Folder of what is kept of examples for later runs (see `finetune.example_cache`); None keeps nothing.
        cache_gb: What it may hold, in GiB.
        judged_by: Digest of the code that says which bytes are usable.
    """

    task: str = "single_label"
    layout: str = "auto"
    splits: dict[str, float | str] | None = None
    split_salt: str = ""
    window: int | str = "all"
    spans: list[str] = field(default_factory=list)
    span_marker: str | None = None
    span_min_age: str | None = None
    replay: dict[str, float | int | None] | None = None
    manifest: str | None = None
    columns: list[str] | None = None
    path_column: str = "path"
    mask_column: str = "mask"
    text_column: str = "text"
    text_columns: list[str] | None = None
    with_text: bool = False
    label_column: str = "label"
    split_column: str | None = None
    label_separator: str | None = None
    group_column: str | None = None
    slice_columns: list[str] = field(default_factory=list)
    max_bad_fraction: float = 0.05
    max_pixels: int = 64_000_000
    max_seconds: float = 600.0
    max_characters: int = 100_000
    corrections: str | None = None
    corrections_sha256: str | None = None
    assignments_dir: str | None = None
    report_dir: str | None = None
    cache_dir: str | None = None
    cache_gb: float = 20.0
    judged_by: str = ""

    @classmethod
    def from_json(cls, text: str) -> IngestSettings:
        """Reads the JSON object that the component carries as its `settings` execution property."""
        return cls(**json.loads(text))

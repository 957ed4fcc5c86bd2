"""Which files a data root offers, under which label and in which split folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from components.example_gen.coco import is_coco, read_coco, read_voc
from components.example_gen.files import FileRecord, list_folder, printable, walk_folder
from components.example_gen.manifest import read_manifest
from components.example_gen.masks import list_masks
from components.example_gen.settings import SPLITS, IngestSettings
from components.example_gen.splits import SplitPlan, plan_splits
from components.example_gen.tasks import TASKS, read_labels
from components.example_gen.voc import is_voc
from finetune.errors import DataError
from finetune.spans import Span


@dataclass(frozen=True)
class Listing:
    """What the ingest is about to read.

    Attributes:
        layout: `classes`, `splits`, `manifest`, `masks` or `table`.
        files: One record a file or manifest row, sorted by path.
        classes: All classes, also those without files, sorted.
        plan: How the files are divided into splits; where there are spans, those of the first.
        ignored: Paths at the side of the class folders, which are not read.
        manifest_sha256: Hex digest of the manifest, if there is one.
        plans: Of each span, by its name.
        odd_annotations: How many annotations of a manifest in COCO's format are odd in which way.
        spans, span_digests, waiting: See `spans.DataSpans`; empty where the root has no place for a span.
    """

    layout: str
    files: list[FileRecord]
    classes: list[str]
    plan: SplitPlan
    ignored: list[str]
    manifest_sha256: str | None = None
    plans: Mapping[str, SplitPlan] = field(default_factory=dict)
    odd_annotations: Mapping[str, int] = field(default_factory=dict)
    spans: Sequence[Span] = ()
    span_digests: Sequence[str] = ()
    waiting: Sequence[str] = ()

    def plan_of(self, record: FileRecord) -> SplitPlan:
        """Returns how the files beside this one are divided."""
        return self.plan if record.span is None else self.plans[record.span]

    @property
    def unit(self) -> str:
        """What `files` are, for messages and the report."""
        return "rows" if self.layout == "table" else "files"


def list_files(root: str, settings: IngestSettings) -> Listing:
    """Lists the files under `root` without opening them (apart from the manifest).

    Raises:
        DataError: The root, a named split folder or the manifest is missing or cannot be understood.
    """
    folders, others = _entries(root)
    layout = _choose_layout(root, folders, settings)
    if layout == "manifest":
        named = settings.manifest or ""
        read = read_coco if is_coco(named) else read_voc if is_voc(root, named) else read_manifest
        manifest = read(root, settings)
        # Of masks, those that their names say, as they are not read yet.
        classes = sorted(
            {label for record in manifest.files for label in (*record.labels, *filter(None, record.mask_classes))}
        )
        plan = plan_splits(
            settings.splits, manifest.split_values, settings.split_salt, f"values in column {settings.split_column!r}"
        )
        files = sorted(manifest.files, key=lambda record: record.row)
        return Listing(layout, files, classes, plan, [], manifest.sha256, odd_annotations=manifest.odd_annotations)

    if layout == "masks":
        masks = list_masks(root)
        plan = plan_splits(settings.splits, None, settings.split_salt, f"folders of {root!r}")
        files = sorted(masks.files, key=lambda record: record.row)
        return Listing(layout, files, sorted(filter(None, masks.classes)), plan, masks.ignored, masks.sha256)

    offered = folders if layout == "splits" else None
    plan = plan_splits(settings.splits, offered, settings.split_salt, f"folders of {root!r}")
    if layout == "classes":
        tops: list[str | None] = [None]
    else:
        tops = list(plan.folders.values()) or [split for split in SPLITS if split in folders]
    found: list[FileRecord] = []
    names: set[str] = set()
    ignored = [name for name in [*folders, *others] if name not in tops] if layout == "splits" else []
    for top in tops:
        class_folders, others = _entries(os.path.join(root, top or ""))
        prefix = f"{top}/" if top else ""
        ignored += [prefix + name for name in others]
        for name in class_folders:
            labels, problem = read_labels(name, settings)
            names.update(labels or [name])
            walk = walk_folder(root, prefix + name, labels, split_folder=top)
            found += [record.without(problem) for record in walk] if problem else walk
    return Listing(layout, sorted(found, key=lambda record: record.row), sorted(names), plan, sorted(ignored))


def _choose_layout(root: str, folders: list[str], settings: IngestSettings) -> str:
    if settings.layout != "auto":
        return settings.layout
    if settings.manifest:
        return "manifest"
    if TASKS[settings.task].has_masks:
        return "masks"
    names_folders = any(isinstance(value, str) for value in (settings.splits or {}).values())
    if names_folders or ("train" in folders and _entries(os.path.join(root, "train"))[0]):
        return "splits"
    return "classes"


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Returns the names of the folders in `folder` and of everything else, without litter, each sorted."""
    try:
        kinds = list_folder(folder)
    except (OSError, ValueError) as error:
        raise DataError(
            f"data.root: got {printable(folder)!r} ({getattr(error, 'strerror', None) or error}); expected a readable "
            "folder on this machine, with one subfolder per class. Mend the path, or mount the data there."
        ) from None
    return [name for name, is_folder in kinds if is_folder], [name for name, is_folder in kinds if not is_folder]

"""`ingest_report.json`: what became of the data that were read. All paths in it are valid Unicode on one line."""

from __future__ import annotations

from finetune.artifacts.base import Artifact, Record


class SplitCounts(Record):
    """How many examples a split has, how many of each class, and how many without any; of how many groups they are."""

    examples: int
    classes: dict[str, int] = {}
    unlabelled: int = 0
    groups: int | None = None


class SkippedFile(Record):
    """A file or row that was left out."""

    path: str
    reason: str
    detail: str = ""


class LabelledFile(Record):
    """A file or row and its label."""

    path: str
    label: str


class Conflict(Record):
    """The same content under several labels."""

    sha256: str
    files: list[LabelledFile]


class Duplicates(Record):
    """How often content is repeated within a split, and the paths of what was left out because another split has it."""

    within_split: int = 0
    across_splits: list[str] = []


class SpanCounts(Record):
    """A span that was read: its number, the digest of its data, and how many examples of it each split has."""

    name: str
    number: int
    digest: str
    splits: dict[str, int] = {}


class IngestReport(Artifact, file="ingest_report.json"):
    """What became of the data: of so many `files`, or rows as `unit` says, `used` became examples.

    `bad_fraction` is the share of unusable ones; `ignored` are files beside the class folders. `spans` are in their
    order, and none where the root has no place for one; `waiting` are those that were not complete. `odd_annotations`
    says of a manifest in COCO's format how many annotations are odd in which way.
    """

    unit: str = "files"
    files: int
    used: int
    splits: dict[str, SplitCounts]
    skipped: list[SkippedFile] = []
    conflicts: list[Conflict] = []
    duplicates: Duplicates = Duplicates()
    bad_fraction: float = 0.0
    ignored: list[str] = []
    spans: list[SpanCounts] = []
    waiting: list[str] = []
    odd_annotations: dict[str, int] = {}

    @property
    def classes(self) -> list[str]:
        """Every class that an example has, sorted."""
        return sorted({name for split in self.splits.values() for name in split.classes})


class StoppedIngestReport(IngestReport, file="bad_files.json"):
    """The same beside the runs, where somebody looks for it whose data stopped the run."""

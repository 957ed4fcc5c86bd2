"""`example_list.json`: which files or rows a run has looked at, so that a later one knows what is new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finetune.artifacts.base import Artifact


@dataclass(frozen=True)
class ListedExample:
    """A file or row as it was.

    Attributes:
        path: On one line of valid Unicode.
        size: Bytes.
        mtime_ns: Time of the last change of the file, in nanoseconds since 1970; 0 for a row of a table.
        sha256: Hex digest of the bytes; empty where they were not read.
        labels: Names of classes, sorted.
        split: That it became an example of; empty where it was left out, or was not divided into splits.
        span: Name of the span that it came with; empty where data come in none.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    labels: tuple[str, ...]
    split: str = ""
    span: str = ""


class ExampleList(Artifact, file="example_list.json"):
    """Examples as a list for each field of `ListedExample`: of very many, that is read several times as fast."""

    paths: list[str]
    sizes: list[int]
    times_ns: list[int]
    digests: list[str]
    labels: list[list[str]]
    splits: list[str]
    spans: list[str] = []

    @classmethod
    def of(cls, examples: Iterable[ListedExample]) -> ExampleList:
        """Makes the list, in the order of the examples."""
        kept = list(examples)
        return cls(
            paths=[one.path for one in kept],
            sizes=[one.size for one in kept],
            times_ns=[one.mtime_ns for one in kept],
            digests=[one.sha256 for one in kept],
            labels=[list(one.labels) for one in kept],
            splits=[one.split for one in kept],
            spans=[one.span for one in kept],
        )

    @property
    def examples(self) -> list[ListedExample]:
        """The examples, in their order."""
        labels = map(tuple, self.labels)
        # A list of a version before has none.
        spans = self.spans or [""] * len(self.paths)
        rows = zip(self.paths, self.sizes, self.times_ns, self.digests, labels, self.splits, spans, strict=True)
        return [ListedExample(*row) for row in rows]

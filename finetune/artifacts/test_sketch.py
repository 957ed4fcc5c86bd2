"""`test_sketch.json`: which examples a test split has, in a few numbers that can be compared with those of another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from finetune.artifacts.base import Artifact

# Of so many, the share that two splits have in common is known within about 0.03, and a sketch has 3 KB.
SIZE = 256
_DIGITS = 12


class TestSketch(Artifact, file="test_sketch.json"):
    """How many examples a test split has, and the smallest of their digests, in order, as hexadecimal digits.

    These are a random sample that is the same wherever the same examples are (bottom-k sketch; Cohen and Kaplan 2007,
    "Summarizing data using bottom-k sketches").
    """

    # pytest would take it for tests.
    __test__ = False

    examples: int
    smallest: list[str]

    @classmethod
    def of(cls, digests: Iterable[str]) -> TestSketch:
        """Makes the sketch of examples by the SHA-256 of each, in hexadecimal digits."""
        unique = {digest[:_DIGITS] for digest in digests}
        return cls(examples=len(unique), smallest=heapq.nsmallest(SIZE, unique))

    def share_in(self, other: TestSketch) -> float:
        """Returns about what share of these examples the other test split has too."""
        if not self.examples:
            return 0.0
        mine, others = set(self.smallest), set(other.smallest)
        sample = heapq.nsmallest(SIZE, mine | others)
        similar = sum(digest in mine and digest in others for digest in sample) / len(sample)
        both = similar * (self.examples + other.examples) / (1 + similar)
        return min(both / self.examples, 1.0)

    def to_text(self) -> str:
        """Returns it as one line."""
        return f"{self.examples}:{','.join(self.smallest)}"

    @classmethod
    def from_text(cls, text: str) -> TestSketch:
        """Reads that line."""
        examples, _, smallest = text.partition(":")
        return cls(examples=int(examples), smallest=smallest.split(",") if smallest else [])

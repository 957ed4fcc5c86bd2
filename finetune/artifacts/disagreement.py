"""Where candidate and champion differ: counts, slices, and examples to show. A part of `test_predictions.json`."""

from __future__ import annotations

from typing import Literal

from finetune.artifacts.base import Record


class SliceContrast(Record):
    """A slice of the test split: how many examples speak for the candidate (`better`) and for the champion (`worse`).

    `chance` is how probable that is, or worse, if both are equally good, corrected for the number of slices (Holm).
    """

    name: str
    kind: Literal["class", "column", "cluster"]
    examples: int
    better: int
    worse: int
    chance: float
    is_worse: bool


class Disagreement(Record):
    """The test split as candidate and champion see it; `slices` are those where the candidate may be worse first."""

    examples: int
    better: int
    worse: int
    slices: list[SliceContrast]

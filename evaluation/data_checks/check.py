"""What a check of the data is: one object that the config's check, the data gate, the report and the docs all read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from evaluation.column_drift import Counts
from finetune.config.data import ActiveAction

TRAIN, VAL, TEST = "train", "val", "test"
# Height and width in pixels of a thumbnail.
THUMBNAIL = 32


@dataclass(frozen=True)
class Pictures:
    """What checks know of pictures.

    Attributes:
        thumbnails: uint8 [examples, THUMBNAIL, THUMBNAIL, 3], RGB, upright, squeezed to a square.
        sizes: int [examples, 2], width and height of the file in pixels.
        bytes: int [examples], of the file.
    """

    thumbnails: np.ndarray
    sizes: np.ndarray
    bytes: np.ndarray


@dataclass(frozen=True, eq=False)
class Examples:
    """All examples that are trained, validated and tested on, as checks see them.

    Nothing that is left out or chosen may depend on labels of the test split.

    Attributes:
        paths: Path, or file and row, of each example.
        splits: str [examples], of TRAIN, VAL and TEST.
        classes: Names, in the order of columns.
        labels: bool [examples, classes].
        one_label: Whether every example has exactly one label.
        features: float32 [examples, features], what the frozen backbone gives.
        held_out: float32 [examples, classes], probabilities by fits on the features of other examples of train and val;
            NaN for those of test.
        columns: `data.slice_columns`, and the cells of each.
        texts: Of examples that are texts; None of others.
        pictures: Of examples that are pictures; None of others.
        groups: str [examples], of `data.group_column`, empty where it is not known; None without one.
        served: float32 [rows, features], of what `data.serving_log` says was served; None without one.
        counts: By column, the label among them, how many examples of train have each value, as statistics say.
        champion_counts: The same of what the champion was trained on; None while there is none on other data.
    """

    paths: Sequence[str]
    splits: np.ndarray
    classes: Sequence[str]
    labels: np.ndarray
    one_label: bool
    features: np.ndarray
    held_out: np.ndarray
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: Sequence[str] | None = None
    pictures: Pictures | None = None
    groups: np.ndarray | None = None
    served: np.ndarray | None = None
    counts: Counts = field(default_factory=dict)
    champion_counts: Counts | None = None

    def rows(self, *splits: str) -> np.ndarray:
        """Returns the numbers of the examples of some splits, int, in their order."""
        return np.flatnonzero(np.isin(self.splits, splits))

    @cached_property
    def directions(self) -> np.ndarray:
        """Returns features of length 1, float32 [examples, features], whose products are cosines; 0 stays 0."""
        lengths = np.linalg.norm(self.features, axis=1, keepdims=True)
        return (self.features / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)

    def label(self, row: int) -> str:
        """Returns the label of an example; several are joined by a comma."""
        return ", ".join(name for name, has in zip(self.classes, self.labels[row], strict=True) if has)


@dataclass(frozen=True)
class Suspect:
    """An example, or several that belong together, and what speaks against them.

    Attributes:
        rows: Their numbers.
        reason: A clause for people.
        suggested: Label that the example should perhaps have; empty where it is not about labels.
    """

    rows: tuple[int, ...]
    reason: str
    suggested: str = ""


@dataclass(frozen=True)
class Found:
    """What a check found.

    Attributes:
        value: What is held against the bound; None where there was nothing to measure, and `why_not` says why.
        suspects: The worst first.
        drop: int, numbers of the examples that `drop` leaves out.
        files: Name and text of each file that is left in the run's folder.
        why_not: A clause.
    """

    value: float | None
    suspects: Sequence[Suspect] = ()
    drop: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    files: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True)
class DataCheck:
    """One check. It finds something where the value is above the bound.

    Attributes:
        name: As in `data.checks`.
        label: As people write it.
        measures: What value and bound are, as a clause.
        meaning: How it is measured, as a sentence, with its source, and what it does for `multi_label`.
        bound: Default.
        action: Default.
        advice: What to do about a finding, as a sentence.
        find: Looks at the examples.
        drops: Whether it names single examples, which `drop` can leave out.
        share: Whether value and bound are shares, which are written as percentages.
    """

    name: str
    label: str
    measures: str
    meaning: str
    bound: float
    advice: str
    find: Callable[[Examples], Found]
    action: ActiveAction = "warn"
    drops: bool = False
    share: bool = True

"""`test_predictions.json`: how well the candidate does on the test split, and some examples to show."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.disagreement import Disagreement
from finetune.artifacts.preview import Preview


class ShownBox(Record):
    """A box in a picture: `edges` are upper, left, lower and right in shares of it; an object that is missed has no
    `score`."""

    label: str
    edges: tuple[float, float, float, float]
    mark: Literal["right", "wrong", "missed"]
    score: float | None = None


class Sample(Preview):
    """An example to show, and what the candidate says of it; `probability` is that of the predicted class.

    Of several labels, `label` and `predicted` name them all, `labels` and `said` name them one by one, and
    `probability` is that of the least sure decision. Of objects, `label` and `predicted` count them. Of masks, they
    give the shares of classes, and `true_mask` and `said_mask` are PNG files whose values are places in `classes`.
    """

    FILES: ClassVar[tuple[str, ...]] = (*Preview.FILES, "true_mask", "said_mask")

    path: str
    label: str
    predicted: str
    probability: float
    labels: list[str] = []
    said: list[str] = []
    boxes: list[ShownBox] = []
    true_mask: str | None = None
    said_mask: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the candidate is right."""
        return self.label == self.predicted


class Difference(Sample):
    """An example that candidate and champion differ about: whether the candidate is `better`, and what both say.

    `slice` is one in which the candidate is worse, and for which the example is shown; else it is empty.
    """

    champion: str
    champion_probability: float
    better: bool
    slice: str = ""


class ClassScore(Record):
    """Scores of one class, in [0, 1]; `support` counts its examples."""

    name: str = Field(alias="class")
    precision: float
    recall: float
    f1: float
    support: int


class EvaluationResults(Artifact, file="test_predictions.json"):
    """Scores of the candidate by scikit-learn.

    Attributes:
        accuracy: Where an example has one label.
        micro_f1: Where it has several.
        confusion: Counts of examples by a class that they have (row) and one that is said (column), in the order of
            `classes`. Beside the diagonal, the row's class is missed and the column's wrongly said; of several labels
            an example can count in several places.
        samples: Their files are relative to the folder.
        disagreement: Of candidate and champion; None where there is no champion. `differing` are examples of it.
    """

    macro_f1: float
    accuracy: float | None = None
    micro_f1: float | None = None
    classes: list[str]
    confusion: list[list[int]] = []
    per_class: list[ClassScore]
    samples: list[Sample]
    disagreement: Disagreement | None = None
    differing: list[Difference] = []

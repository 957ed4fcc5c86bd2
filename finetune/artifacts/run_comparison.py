"""What sets two runs apart: config, data, code, and what their models say of the same test examples."""

from __future__ import annotations

from typing import Literal

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.findings import Interval


class ComparedRun(Record):
    """One of the two runs; `folder` holds its report, `status` is that of its summary."""

    run_id: str
    name: str
    folder: str
    status: str


class Difference(Record):
    """A fact that is not the same in both runs, as text; None where a run has none.

    `decides` says whether it has a part in what the model says.
    """

    name: str
    first: str | None
    second: str | None
    decides: bool = True


class SplitDifference(Record):
    """How many examples a split of each run has, and how many are in this split of one run alone.

    `relabelled` counts those that both have under other labels. None where a run left no list of its examples.
    """

    split: str
    first: int
    second: int
    only_first: int | None = None
    only_second: int | None = None
    relabelled: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the split is another as far as is known."""
        return self.first != self.second or bool(self.only_first or self.only_second or self.relabelled)


class ComparedMetric(Record):
    """A metric of both models on the same examples; `change` is the interval of the second's minus the first's.

    `better` is the model that the interval shows to be better, None where it shows neither; None for `change` where
    drawing it would take minutes.
    """

    name: str
    first: float
    second: float
    change: Interval | None = None
    better: Literal["first", "second"] | None = None


class ComparedAnswers(Record):
    """What both models say of the test examples that both runs have.

    Attributes:
        examples: How many those are; `only_first` and `only_second` are test examples of one run alone.
        relabelled: How many of them have another label in the second run, by which both models are judged.
        both_right, first_right, second_right, neither_right: How many each model alone, both or none has right.
    """

    examples: int
    only_first: int
    only_second: int
    relabelled: int
    both_right: int = 0
    first_right: int = 0
    second_right: int = 0
    neither_right: int = 0
    metrics: list[ComparedMetric] = []


class RunComparison(Artifact):
    """What sets two runs apart; what is the same in both is left out.

    Attributes:
        splits: Of the data; those that are the same too.
        code: Packages of ours by the digest of their files, packages of others by version, weights by digest.
        changed: What has a part in what a model says and is not the same: keys, `data`, `code`.
        answers: None where the models cannot be compared; `warnings` say why.
    """

    first: ComparedRun
    second: ComparedRun
    config: list[Difference]
    splits: list[SplitDifference]
    code: list[Difference]
    changed: list[str]
    warnings: list[str]
    answers: ComparedAnswers | None = None

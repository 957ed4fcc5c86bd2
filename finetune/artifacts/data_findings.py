"""`data_findings.json`: what the checks of the data found before training."""

from __future__ import annotations

from typing import Literal

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.embedding_map import EmbeddingMap
from finetune.artifacts.preview import Preview

# In the folder of reports: what was found in data that stopped a run.
STOPPED = "data_gate"


class ShownExample(Preview):
    """An example to show."""

    path: str
    split: str
    label: str


class ShownSuspect(Record):
    """An example, or several that belong together, what speaks against them, and the label that may be right."""

    examples: list[ShownExample]
    reason: str
    suggested: str = ""


class DataFinding(Record):
    """What one check found, in one line; `check` is its name in `data.checks`.

    Attributes:
        label: Its name as people write it.
        measures: What `value` and `bound` are; `share` says that they are shares.
        value: None where there was nothing to measure, and `why_not` says why.
        found: Whether the value is above the bound.
        suspects: How many there are, of which a report shows the first.
        worst: What speaks against the first of them.
        dropped: How many examples of train and val are left out of training.
        advice: What to do, where something was found.
    """

    check: str
    label: str
    action: Literal["warn", "drop", "stop"]
    measures: str
    share: bool
    value: float | None
    bound: float
    found: bool
    why_not: str = ""
    suspects: int = 0
    worst: str = ""
    dropped: int = 0
    advice: str = ""

    @property
    def stops(self) -> bool:
        """Whether the run ends here."""
        return self.found and self.action == "stop"

    @property
    def sentence(self) -> str:
        """What was found, with value, bound and what to do, as sentences."""
        if self.value is None:
            return f"{self.label}: not judged, as {self.why_not}."
        left_out = f"; {self.dropped:,} are not trained on" if self.dropped else ""
        measures = "; ".join(filter(None, [self.measures, self.worst]))
        advice = f" {self.advice}" if self.advice else ""
        return (
            f"{self.label}: {self.written(self.value)}, at most {self.written(self.bound)} expected ({measures})"
            f"{left_out}.{advice}"
        )

    def written(self, value: float) -> str:
        """Writes a value as the check counts."""
        return f"{value:.1%}" if self.share else f"{value:.4g}"


class DataFindings(Artifact, file="data_findings.json"):
    """`data_findings.json`: a finding a check, and by name of the check the suspects to show.

    `files` names what checks have written beside it for people; `dropped` are paths of what is not trained on.
    """

    findings: list[DataFinding]
    suspects: dict[str, list[ShownSuspect]] = {}
    dropped: list[str] = []
    files: list[str] = []
    map: EmbeddingMap | None = None

"""`source_task.json`: how well the features of a backbone serve an earlier task, before and after training."""

from __future__ import annotations

from pydantic import computed_field

from finetune.artifacts.base import Artifact
from finetune.artifacts.findings import Interval


class SourceTask(Artifact, file="source_task.json"):
    """What probes on the features of the pretrained and of the trained backbone say of the same examples.

    Attributes:
        examples: Of the folder, all splits together; `classes` counts theirs.
        right_in_both: Those that both probes have right.
        forgotten: Those that the probe before training alone has right.
        gained: Those that the probe after training alone has right.
        interval: Of `retention`.
        seconds: That the features and the probes took.
    """

    examples: int
    classes: int
    right_in_both: int
    forgotten: int
    gained: int
    interval: Interval | None = None
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def before(self) -> float:
        """Returns the accuracy on the features of the pretrained backbone."""
        return (self.right_in_both + self.forgotten) / self.examples

    @computed_field  # type: ignore[prop-decorator]
    @property
    def after(self) -> float:
        """Returns the accuracy on the features of the trained backbone."""
        return (self.right_in_both + self.gained) / self.examples

    @computed_field  # type: ignore[prop-decorator]
    @property
    def retention(self) -> float:
        """Returns the accuracy after training minus that before, from -1 to 1."""
        return (self.gained - self.forgotten) / self.examples

    @property
    def sentence(self) -> str:
        """Returns both accuracies and their difference in words."""
        sure = self.interval
        between = f", {100 * sure.confidence:g} % interval {sure.low:+.4f} to {sure.high:+.4f}" if sure else ""
        return (
            f"On the {self.examples:,} examples of evaluation.source_task a linear probe of the backbone is right on "
            f"{self.before:.4f} before training and on {self.after:.4f} after it ({self.retention:+.4f}{between})."
        )

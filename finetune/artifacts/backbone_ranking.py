"""`backbones.json`: how `backbone.name: auto` was decided, beside the runs that rest on it."""

from __future__ import annotations

from typing import Any

from finetune.artifacts.base import Artifact, Record


class RankedBackbone(Record):
    """A candidate and what was measured of it.

    Attributes:
        label: Its name for people.
        backbone: The section `backbone` that names it.
        loss: Mean log-loss of logistic regression on its frozen features, on examples of train that were held out;
            `standard_error` is that of the mean.
        accuracy: Share of these that were right, in [0, 1], or what the task counts as such.
        latency_ms: Median time that one example takes, milliseconds.
        size_mb: Of its weights in float32, millions of bytes.
        seconds: What it took to rank it, with the data made ready for it.
        problem: Why it cannot be chosen; empty where it can.
    """

    label: str
    backbone: dict[str, Any]
    loss: float
    standard_error: float
    accuracy: float
    latency_ms: float
    size_mb: float
    seconds: float
    problem: str = ""


class BackboneRanking(Artifact, file="backbones.json"):
    """Candidates from best to worst; `chosen` is the label of one, `basis` a digest of what the ranking
    rests on."""

    candidates: list[RankedBackbone]
    chosen: str
    reason: str
    basis: str = ""

    @property
    def winner(self) -> RankedBackbone:
        """The candidate that was chosen."""
        return next(each for each in self.candidates if each.label == self.chosen)
